"""From the error that stopped a Connection Test to what a person is told."""

import re

from mailbearer import sentences
from mailbearer.checks.visit import Subject
from mailbearer.errors import MailbearerError, ServerRefusedError, SignInRefusedError, TokenUnavailableError
from mailbearer.model.check import Diagnosis
from mailbearer.model.secret import Secret
from mailbearer.net.route import Route
from mailbearer.providers.diagnosis import read_mail_refusal
from mailbearer.providers.hosts import suggest_host
from mailbearer.tokens.admission import layer_of

UPDATE_FAILED = "Token update failed. Please delete the token and obtain it again."  # SPEC M14, to the letter

NO_RENEWAL = frozenset(
    f"MB-T{number:02}" for number in (3, 5, 7, 8, 9, 10, 11, 12, 30, 31, 36, 37, 39, 42, 55)
)  # the reasons that make a token Invalid: it cannot be renewed as things are (providers/data/error_rules.json)
_GENERIC = frozenset({"MB-S17", "MB-S34"})
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_~-]{40,}")  # nothing that a person reads, but tokens and their base64 look so
HIDDEN = "***"


def diagnosis_of(error: MailbearerError, subject: Subject, route: Route | None, token: Secret | None) -> Diagnosis:
    """Return what ``error`` means for the service, and who must do what."""
    code, fields = error.code, {**_known(subject, route), **error.fields}
    if subject.provider and (reply := _unread_reply(error, subject)):
        user, challenge = subject.service.sasl_user, error.challenge if isinstance(error, SignInRefusedError) else ""
        layer = layer_of(subject.service)
        verdict = read_mail_refusal(layer, reply, challenge, provider=subject.provider, fresh=False, account=user)
        if verdict.class_ != "unknown":
            code, fields = verdict.code, {**fields, **verdict.fields}
    text, action = sentences.what(code, fields), sentences.why(code, fields)
    if isinstance(error, TokenUnavailableError) and code in NO_RENEWAL and text != UPDATE_FAILED:
        text, action = UPDATE_FAILED, f"{text} {action}"
    return Diagnosis(code, text, action, sentences.actor(code), said(error, token))


def _unread_reply(error: MailbearerError, subject: Subject) -> str:
    """Return the reply that nobody has looked up yet; those to a token were, by whoever signed in with it."""
    match error:
        case SignInRefusedError(reply=reply) if not subject.oauth:
            return reply
        case ServerRefusedError(reply=reply) if error.code in _GENERIC:
            return reply
        case _:
            return ""


def said(error: MailbearerError, token: Secret | None) -> str:
    """Return the other side's own words; a token that it repeats is taken out."""
    challenge = error.challenge if isinstance(error, SignInRefusedError) else ""
    text = " ".join(part for part in (error.detail, challenge) if part)
    if token:
        text = text.replace(token.reveal(), HIDDEN)
    return sentences.shown(_LONG_RUN.sub(HIDDEN, text))


def _known(subject: Subject, route: Route | None) -> dict[str, object]:
    """Return what the sentences may want to name besides what the error carries."""
    service = subject.service
    known: dict[str, object] = {"service": service.id, "account": service.sasl_user}
    if subject.provider:
        servers = subject.provider.servers.get(service.kind, ())
        known["provider"] = subject.provider.name
        known["usual"] = " or ".join(f"{server.port} on {server.host}" for server in servers)
    if route:
        known |= {"host": route.host, "port": route.port, "suggestion": suggest_host(route.host) or ""}
    return known
