// The authorization server of the test stack: panva's oidc-provider, set up as a mail provider's, with an admin
// surface for tests (approve, deny, disable, revoke, mint, faults, journal). Usage: node server.mjs CONFIG.json
import { createServer as httpServer } from 'node:http';
import { createServer as httpsServer } from 'node:https';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const cfg = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { default: Provider } = await import(pathToFileURL(join(cfg.node_modules, 'oidc-provider/lib/index.js')).href);

// ---------------------------------------------------------------- what tests change (POST /admin/policy), and the rest
const defaults = {
  accessTokenTTL: 3600, // seconds; down to 1
  refreshTokenTTL: 14 * 86400,
  deviceCodeTTL: 600,
  authorizationCodeTTL: 60,
  deviceInterval: 1, // the "interval" that is told; 0 leaves it out
  enforceInterval: false, // answer slow_down to a client that polls faster
  rotateRefreshTokens: true, // each renewal gives a new refresh token and the old one is dead
  refreshPolicy: 'always', // 'always' | 'offline_access' | 'never'
  consent: 'auto', // 'auto': no consent page | 'prompt'
  omitScopeInResponse: false,
};
const policy = { ...defaults };
const disabled = new Set(); // accounts that may not sign in, renew or use a token
const faults = []; // {path, grant_type, status, body, headers, delay_ms, drop, lose, count}
const journal = []; // what the endpoints were asked and answered

function reset() {
  Object.assign(policy, defaults);
  disabled.clear();
  faults.length = 0;
  journal.length = 0;
  return { ok: true };
}

// ---------------------------------------------------------------- storage: plain maps, for as long as the process lives
const store = new Map();
const index = new Map(); // session uid and user code → id; grant → keys of what it made
const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);
class Adapter {
  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload) {
    store.set(this.key(id), payload);
    if (this.model === 'Session') index.set(`uid:${payload.uid}`, id);
    if (payload.userCode) index.set(`code:${payload.userCode}`, id);
    if (grantable.has(this.model) && payload.grantId) {
      const grant = `grant:${payload.grantId}`;
      if (!index.has(grant)) index.set(grant, new Set());
      index.get(grant).add(this.key(id));
    }
  }

  async find(id) { return store.get(this.key(id)); }

  async findByUid(uid) { return this.find(index.get(`uid:${uid}`)); }

  async findByUserCode(code) { return this.find(index.get(`code:${code}`)); }

  async consume(id) { const held = store.get(this.key(id)); if (held) held.consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { store.delete(this.key(id)); }

  async revokeByGrantId(id) {
    for (const key of index.get(`grant:${id}`) ?? []) store.delete(key);
    index.delete(`grant:${id}`);
  }
}

// ---------------------------------------------------------------- the provider
const signing = {
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'stack-1',
};
const escaped = (text) => String(text ?? '').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const account = (text) => String(text ?? '').trim().toLowerCase();
const page = (title, inner) => `<!DOCTYPE html><html><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head><body><h1>${title}</h1>${inner}</body></html>`;

const provider = new Provider(cfg.issuer, {
  adapter: Adapter,
  clients: cfg.clients,
  scopes: cfg.scopes,
  jwks: { keys: [signing] },
  clockTolerance: 0,
  cookies: { keys: [randomBytes(24).toString('hex')] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  features: {
    devInteractions: { enabled: false },
    deviceFlow: {
      enabled: true,
      async userCodeInputSource(ctx, form, out, error) {
        const said = error ? `<p class="error">${escaped(error.name)}: ${escaped(error.userCode)}</p>` : '<p>Enter the code shown on the device.</p>';
        ctx.body = page('Device sign-in', `${said}${form}<button type="submit" form="op.deviceInputForm">Continue</button>`);
      },
      async userCodeConfirmSource(ctx, form, client, info, code) {
        ctx.body = page('Confirm the device', `<p>${escaped(client.clientName || client.clientId)}</p><code>${escaped(code)}</code>${form}
<button type="submit" form="op.deviceConfirmForm" id="continue">Continue</button>
<button type="submit" form="op.deviceConfirmForm" value="yes" name="abort" id="abort">Abort</button>`);
      },
      async successSource(ctx) { ctx.body = page('Signed in', '<p id="done">Signed in. You can close this page.</p>'); },
    },
    introspection: { enabled: true, async allowedPolicy(ctx, client, token) { return !disabled.has(account(token.accountId)); } },
    revocation: { enabled: true },
    userinfo: { enabled: true },
    rpInitiatedLogout: { enabled: false },
    resourceIndicators: { enabled: false },
  },
  pkce: { required: (ctx, client) => client.clientAuthMethod === 'none' },
  async findAccount(ctx, sub) {
    if (disabled.has(account(sub))) return undefined;
    return {
      accountId: sub,
      async claims() { return { sub, email: sub, email_verified: true, preferred_username: sub, name: sub.split('@')[0] }; },
    };
  },
  async extraTokenClaims(ctx, token) { return { username: token.accountId }; }, // what Dovecot compares with the SASL user
  async expiresWithSession() { return false; },
  async issueRefreshToken(ctx, client, source) {
    if (policy.refreshPolicy === 'never' || !client.grantTypeAllowed('refresh_token')) return false;
    return policy.refreshPolicy === 'always' || source.scopes.has('offline_access');
  },
  rotateRefreshToken: () => policy.rotateRefreshTokens,
  async loadExistingGrant(ctx) {
    const { oidc } = ctx;
    const id = oidc.result?.consent?.grantId || oidc.session.grantIdFor(oidc.client.clientId);
    let grant = id ? await oidc.provider.Grant.find(id) : undefined;
    if (policy.consent !== 'auto') return grant;
    grant ??= new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope([...new Set(['openid', ...oidc.requestParamScopes])].join(' '));
    await grant.save();
    return grant;
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  ttl: {
    AccessToken: () => policy.accessTokenTTL,
    RefreshToken: () => policy.refreshTokenTTL,
    DeviceCode: () => policy.deviceCodeTTL,
    AuthorizationCode: () => policy.authorizationCodeTTL,
    Grant: () => 365 * 86400,
    Session: () => 86400,
    Interaction: () => 3600,
    IdToken: () => 3600,
  },
  async renderError(ctx, out) {
    ctx.type = 'html';
    ctx.body = page('Error', Object.entries(out).map(([k, v]) => `<pre id="${escaped(k)}">${escaped(k)}: ${escaped(v)}</pre>`).join(''));
  },
});

// ---------------------------------------------------------------- what only tests ask
const bodyOf = (request) => new Promise((resolve, reject) => {
  let text = ''; request.on('data', (chunk) => { text += chunk; }); request.on('end', () => resolve(text)); request.on('error', reject);
});
const allOf = (kind, wanted) => [...store].filter(([key, held]) => key.startsWith(`${kind}:`) && wanted(held)).map(([, held]) => held);
const now = () => Math.floor(Date.now() / 1000);

async function deviceCode(userCode) {
  const code = await provider.DeviceCode.findByUserCode(String(userCode).toUpperCase().replace(/\W/g, ''));
  if (!code) throw new Error('no such user_code');
  return code;
}

async function approve({ user_code: userCode, account: who, scope }) {
  const code = await deviceCode(userCode);
  const scopes = scope ?? code.params.scope ?? 'openid';
  const grant = new provider.Grant({ clientId: code.clientId, accountId: account(who) });
  grant.addOIDCScope([...new Set(['openid', ...scopes.split(' ')])].join(' '));
  Object.assign(code, { accountId: account(who), grantId: await grant.save(), scope: scopes, authTime: now(), claims: undefined });
  await code.save();
  return { ok: true };
}

async function deny({ user_code: userCode }) {
  const code = await deviceCode(userCode);
  Object.assign(code, { error: 'access_denied', errorDescription: 'End-User aborted interaction' });
  await code.save();
  return { ok: true };
}

async function mint({ account: who, client_id: clientId, scope, ttl, refresh, refresh_ttl: refreshTTL }) {
  const client = await provider.Client.find(clientId);
  if (!client) throw new Error('no such client');
  const accountId = account(who);
  const life = ttl ?? policy.accessTokenTTL;
  const grant = new provider.Grant({ clientId, accountId });
  grant.addOIDCScope(scope);
  const grantId = await grant.save();
  const common = { accountId, client, grantId, gty: 'authorization_code', scope };
  const out = { access_token: await new provider.AccessToken({ ...common, expiresIn: life }).save(), token_type: 'Bearer', expires_in: life, scope };
  if (refresh) {
    const token = new provider.RefreshToken({ ...common, authTime: now(), expiresIn: refreshTTL ?? policy.refreshTokenTTL, rotations: 0, iiat: now() });
    out.refresh_token = await token.save();
  }
  return out;
}

function revoke({ account: who, keep_refresh: keepRefresh }) {
  const kinds = keepRefresh ? ['AccessToken'] : ['AccessToken', 'RefreshToken', 'AuthorizationCode', 'Grant', 'Session'];
  let revoked = 0;
  for (const kind of kinds) {
    for (const held of allOf(kind, (each) => account(each.accountId) === account(who))) { store.delete(`${kind}:${held.jti}`); revoked += 1; }
  }
  return { revoked };
}

async function admin(ctx) {
  const asked = ctx.method === 'POST' ? JSON.parse((await bodyOf(ctx.req)) || '{}') : {};
  switch (`${ctx.method} ${ctx.path.slice('/admin'.length)}`) {
    case 'GET /health': return { ok: true };
    case 'POST /reset': return reset();
    case 'POST /policy': return Object.assign(policy, asked);
    case 'POST /mint': return mint(asked);
    case 'POST /revoke': return revoke(asked);
    case 'POST /disable': disabled.add(account(asked.account)); return { ok: true };
    case 'POST /enable': disabled.delete(account(asked.account)); return { ok: true };
    case 'POST /device/approve': return approve(asked);
    case 'POST /device/deny': return deny(asked);
    case 'GET /device/pending': return allOf('DeviceCode', (code) => !code.accountId && !code.error && code.exp > now()).map((code) => code.userCode.replace(/^(....)/, '$1-'));
    case 'POST /fault': faults.push({ count: 1, ...asked }); return { ok: true };
    case 'POST /fault/clear': faults.length = 0; return { ok: true };
    case 'GET /journal': return journal;
    default: ctx.status = 404; return { error: 'no such admin call' };
  }
}

// ---------------------------------------------------------------- in front of the provider
const watched = new Set(['/token', '/device/auth', '/token/introspection', '/token/revocation', '/me', '/.well-known/openid-configuration']);
const polls = new Map();

function drop(ctx) { ctx.respond = false; ctx.req.socket.destroy(); }

// A fault answers instead of the provider (true), or lets it work and then loses the answer (`lose`: false here).
async function played(ctx, fault) {
  if (fault.delay_ms) await new Promise((resolve) => { setTimeout(resolve, fault.delay_ms); });
  if (fault.drop) { drop(ctx); return true; }
  if (!fault.status) return false;
  ctx.status = fault.status;
  ctx.set(fault.headers ?? {});
  ctx.body = fault.body ?? { error: 'temporarily_unavailable' };
  return true;
}

function slowDown(ctx, code) {
  const poll = polls.get(code) ?? { last: 0, interval: policy.deviceInterval };
  if (policy.enforceInterval && ctx.body?.error === 'authorization_pending' && poll.last && Date.now() - poll.last < poll.interval * 1000 - 150) {
    poll.interval += 5;
    ctx.body = { error: 'slow_down', error_description: 'polling too fast' };
  }
  poll.last = Date.now();
  polls.set(code, poll);
}

function adjust(ctx, asked) {
  const { path } = ctx;
  // A token that looks like a JWT: oidc-provider answers 400, RFC 7662 says inactive, and Dovecot wants that.
  if (path === '/token/introspection' && ctx.status === 400 && ctx.oidc?.client) { ctx.status = 200; ctx.body = { active: false }; }
  if (path === '/device/auth' && ctx.status === 200 && policy.deviceInterval) ctx.body = { ...ctx.body, interval: policy.deviceInterval };
  if (path === '/token' && asked.device_code) slowDown(ctx, asked.device_code);
  if (path === '/token' && policy.omitScopeInResponse && ctx.body?.access_token) { const { scope, ...rest } = ctx.body; ctx.body = rest; }
}

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/admin/')) {
    try { ctx.body = await admin(ctx); } catch (error) { ctx.status = 400; ctx.body = { error: error.message }; }
    return;
  }
  const page = /^\/interaction\/([\w-]+)(\/(login|deny|consent))?$/.exec(ctx.path);
  if (page) { await interaction(ctx, page[3]); return; }
  if (!watched.has(ctx.path)) { await next(); return; }
  const fault = faults.find((each) => each.count !== 0 && each.path === ctx.path);
  if (fault) fault.count -= 1;
  if (fault && await played(ctx, fault)) {
    journal.push({ path: ctx.path, status: fault.status ?? 0, fault: true });
    return;
  }
  await next();
  const asked = ctx.oidc?.body ?? {};
  adjust(ctx, asked);
  journal.push({
    path: ctx.path,
    status: ctx.status,
    grant_type: asked.grant_type ?? '',
    client_id: ctx.oidc?.client?.clientId ?? '',
    account: ctx.oidc?.entities?.Account?.accountId ?? '',
    error: ctx.body?.error ?? '',
    fault: Boolean(fault),
  });
  if (fault?.lose) drop(ctx);
});

// ---------------------------------------------------------------- the pages that a person sees
async function interaction(ctx, action) {
  const { prompt, params, session, uid, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  const finish = async (result, merge) => {
    ctx.respond = false;
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: merge });
  };
  const refuse = (status, text) => { ctx.status = status; ctx.body = page('Sign in', `<p class="error">${text}</p>`); };
  const login = async (address) => {
    if (!/^[^@\s]+@[^@\s]+$/.test(address)) return refuse(400, 'Not an address.');
    if (disabled.has(address)) return refuse(403, 'This account is disabled.');
    return finish({ login: { accountId: address } }, false);
  };
  const consent = async () => {
    const held = grantId ? await provider.Grant.find(grantId) : undefined;
    const grant = held ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
    return finish({ consent: { grantId: await grant.save() } }, true);
  };
  if (ctx.method === 'POST' && action === 'deny') return finish({ error: 'access_denied', error_description: 'End-User aborted interaction' }, false);
  if (ctx.method === 'POST' && action === 'login') return login(account(new URLSearchParams(await bodyOf(ctx.req)).get('login')));
  if (ctx.method === 'POST' && action === 'consent') return consent();
  if (prompt.name === 'consent' && policy.consent === 'auto') return consent();
  const cancel = `<form method="post" action="/interaction/${uid}/deny"><button id="deny">Cancel</button></form>`;
  ctx.body = prompt.name === 'login'
    ? page('Sign in', `<p>to continue to ${escaped(params.client_id)}</p><form method="post" action="/interaction/${uid}/login">
<label>E-mail address <input type="email" name="login" value="${escaped(params.login_hint)}" required autofocus></label>
<button id="signin">Sign in</button></form>${cancel}`)
    : page('Permissions', `<p>${escaped(params.client_id)} asks for: ${escaped(params.scope)}</p>
<form method="post" action="/interaction/${uid}/consent"><button id="accept">Accept</button></form>${cancel}`);
  return undefined;
}

// ---------------------------------------------------------------- listen
provider.on('server_error', (ctx, error) => console.error('server_error', ctx.method, ctx.path, error));
const answer = provider.callback();
const secure = httpsServer({ key: readFileSync(cfg.tls_key), cert: readFileSync(cfg.tls_cert) }, answer);
const plain = httpServer(answer); // for Dovecot's introspection and the admin surface
for (const server of [secure, plain]) { server.keepAliveTimeout = 65000; server.headersTimeout = 66000; }
secure.listen(cfg.https_port, cfg.host);
plain.listen(cfg.http_port, cfg.host);
process.on('SIGTERM', () => process.exit(0));
