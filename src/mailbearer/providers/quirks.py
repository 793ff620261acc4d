"""Where providers differ from the standards, or from each other: each by name, with its source and date."""

from dataclasses import dataclass
from enum import StrEnum

from mailbearer.model.provider import Provider


class Quirk(StrEnum):
    """The names that stand in the catalogue."""

    CLIENT_BY_APPROVAL = "client-by-approval"
    DEVICE_CODE_TRACKED = "device-code-tracked"
    DEVICE_CODE_WITHOUT_MAIL = "device-code-without-mail"
    FILLED_AT_RUN_TIME = "filled-at-run-time"
    FRESHNESS_600 = "freshness-600"
    GRANTED_SCOPE_OMITS = "granted-scope-omits"
    ISS_IN_CALLBACK = "iss-in-callback"
    ISSUER_NAMES_THE_TENANT = "issuer-names-the-tenant"
    LOGIN_HINT = "login-hint"
    LOOPBACK_BY_NAME = "loopback-by-name"
    NO_DEVICE_CODES = "no-device-codes"
    NO_IMPLICIT_TLS = "no-implicit-tls"
    NO_PRIVATE_REDIRECT = "no-private-redirect"
    NO_REVOCATION = "no-revocation"
    NO_VERIFICATION_URI_COMPLETE = "no-verification-uri-complete"
    OLD_REFRESH_TOKEN_STAYS_GOOD = "old-refresh-token-stays-good"  # noqa: S105 - a name, no secret
    ONE_RESOURCE_PER_TOKEN = "one-resource-per-token"  # noqa: S105 - a name, no secret
    POP_NOT_OFFERED = "pop-not-offered"
    POP_OFF_SHOWS_AT_STAT = "pop-off-shows-at-stat"
    POP_XOAUTH2_UNLISTED = "pop-xoauth2-unlisted"
    PUBLIC_CLIENT_SENDS_NO_SECRET = "public-client-sends-no-secret"  # noqa: S105 - a name, no secret
    REFRESH_TOKEN_NOT_ROTATED = "refresh-token-not-rotated"  # noqa: S105 - a name, no secret
    REGION_BOUND = "region-bound"
    ROTATES_REFRESH_TOKENS = "rotates-refresh-tokens"
    SECRET_NEEDED_FOR_DESKTOP = "secret-needed-for-desktop"  # noqa: S105 - a name, no secret
    SILENT_SASL_FAILURE = "silent-sasl-failure"
    SMTP_USER_IS_SIGNED_IN_USER = "smtp-user-is-signed-in-user"
    TESTING_PROJECT_SEVEN_DAYS = "testing-project-seven-days"
    VERIFICATION_URL = "verification-url"


@dataclass(frozen=True, slots=True)
class QuirkNote:
    """What a quirk is, and how it is known. ``dated`` is when the source was written, or read if it has no date."""

    text: str
    source: str
    dated: str


QUIRKS: dict[Quirk, QuirkNote] = {
    Quirk.CLIENT_BY_APPROVAL: QuirkNote(
        "A Client ID with mail permission is given on application only.", "the provider's developer pages", "2026-11"
    ),
    Quirk.DEVICE_CODE_TRACKED: QuirkNote(
        "A token obtained by a code is tracked: once the organization blocks codes, its renewal fails (AADSTS530036).",
        "MicrosoftDocs/entra-docs, concept-authentication-flows.md",
        "2026-11",
    ),
    Quirk.DEVICE_CODE_WITHOUT_MAIL: QuirkNote(
        "The device endpoint refuses the mail scope: invalid_scope, Invalid device flow scope.",
        "Google, OAuth 2.0 for TV and Limited-Input Device Applications",
        "2026-11",
    ),
    Quirk.FILLED_AT_RUN_TIME: QuirkNote(
        "The entry has no endpoints; they come from discovery, or from the practice provider.",
        "this product",
        "2026-11",
    ),
    Quirk.FRESHNESS_600: QuirkNote(
        "High Volume Email refuses a token with less than ten minutes left (501 5.5.127).",
        "tarickb/sasl-xoauth2 issue 98",
        "2026-04",
    ),
    Quirk.GRANTED_SCOPE_OMITS: QuirkNote(
        "The scope that was granted leaves out or rewrites offline_access and the OpenID names.",
        "mozilla/releases-comm-central, OAuth2.sys.mjs",
        "2026-08",
    ),
    Quirk.ISS_IN_CALLBACK: QuirkNote(
        "The callback carries iss (RFC 9207).", "mozilla/releases-comm-central; stalwartlabs/stalwart", "2026-08"
    ),
    Quirk.ISSUER_NAMES_THE_TENANT: QuirkNote(
        "The issuer holds the tenant's GUID, whatever name of it was asked for.",
        "published openid-configuration of the common tenant",
        "2026-11",
    ),
    Quirk.LOGIN_HINT: QuirkNote(
        "login_hint fills in the account on the sign-in page.", "OpenID Connect Core 3.1.2.1", "2023-12"
    ),
    Quirk.LOOPBACK_BY_NAME: QuirkNote(
        "The loopback redirect is registered as http://localhost, any port.",
        "MicrosoftDocs/entra-docs, v2-oauth2-auth-code-flow.md",
        "2026-11",
    ),
    Quirk.NO_DEVICE_CODES: QuirkNote("There is no device authorization endpoint.", "the provider's pages", "2026-11"),
    Quirk.NO_IMPLICIT_TLS: QuirkNote(
        "Port 465 is not served; submission is 587 with STARTTLS.",
        "thunderbird/autoconfig, ispdb",
        "2026-03",
    ),
    Quirk.NO_PRIVATE_REDIRECT: QuirkNote(
        "No redirect to private addresses or names: loopback, or public https.", "Google OAuth 2.0 policies", "2026-11"
    ),
    Quirk.NO_REVOCATION: QuirkNote(
        "There is no revocation endpoint; a deleted token ends at the provider's own pages.",
        "the provider's discovery document, or its absence",
        "2026-11",
    ),
    Quirk.NO_VERIFICATION_URI_COMPLETE: QuirkNote(
        "The code must be typed; the QR code can hold the page only.",
        "MicrosoftDocs/entra-docs, v2-oauth2-device-code.md",
        "2026-11",
    ),
    Quirk.OLD_REFRESH_TOKEN_STAYS_GOOD: QuirkNote(
        "A renewal gives a new refresh token and leaves the old one good.",
        "MicrosoftDocs/entra-docs, refresh-tokens.md",
        "2025-05",
    ),
    Quirk.ONE_RESOURCE_PER_TOKEN: QuirkNote(
        "An access token is for one resource; mail and Graph need one each (AADSTS700022).",
        "MicrosoftDocs/entra-docs, refresh-tokens.md",
        "2025-05",
    ),
    Quirk.POP_NOT_OFFERED: QuirkNote(
        "OAuth 2.0 is for SMTP and IMAP only; POP3 wants an app password.", "Yandex Mail help", "2026-11"
    ),
    Quirk.POP_OFF_SHOWS_AT_STAT: QuirkNote(
        "A mailbox with POP switched off lets sign in and refuses STAT.", "issue trackers, with logs", "2026-11"
    ),
    Quirk.POP_XOAUTH2_UNLISTED: QuirkNote(
        "XOAUTH2 works though CAPA does not list it.", "mozilla/releases-comm-central, Pop3Client", "2026-08"
    ),
    Quirk.PUBLIC_CLIENT_SENDS_NO_SECRET: QuirkNote(
        "A public client that sends a secret is refused (AADSTS700025).",
        "MicrosoftDocs/entra-docs, reference-error-codes.md",
        "2026-11",
    ),
    Quirk.REFRESH_TOKEN_NOT_ROTATED: QuirkNote(
        "A renewal gives no new refresh token.", "Google OAuth 2.0 documentation", "2026-04"
    ),
    Quirk.REGION_BOUND: QuirkNote(
        "Tokens and servers belong to one region.", "zoho.com/mail/help/api/using-oauth-2.html", "2026-11"
    ),
    Quirk.ROTATES_REFRESH_TOKENS: QuirkNote(
        "Each renewal replaces the refresh token; the old one may be dead at once.",
        "RFC 9700 section 4.14.2; panva/node-oidc-provider",
        "2025-01",
    ),
    Quirk.SECRET_NEEDED_FOR_DESKTOP: QuirkNote(
        "The secret of a Desktop client must be sent, though it is none.",
        "tarickb/sasl-xoauth2; neomutt/neomutt, mutt_oauth2.py",
        "2026-07",
    ),
    Quirk.SILENT_SASL_FAILURE: QuirkNote(
        "A refused token is answered at once, without the JSON challenge.",
        "MicrosoftDocs/office-developer-exchange-docs",
        "2026-06",
    ),
    Quirk.SMTP_USER_IS_SIGNED_IN_USER: QuirkNote(
        "For a shared mailbox SMTP wants the signed-in user, POP the mailbox; else 535 5.7.3.",
        "nextcloud/mail issue 13667",
        "2026-09",
    ),
    Quirk.TESTING_PROJECT_SEVEN_DAYS: QuirkNote(
        "While the project is in testing, refresh tokens end after seven days.",
        "Google OAuth 2.0 documentation; tarickb/sasl-xoauth2 issue 29",
        "2026-04",
    ),
    Quirk.VERIFICATION_URL: QuirkNote(
        "The device answer spells verification_uri as verification_url.", "Yandex and Google device pages", "2026-11"
    ),
}


def has(provider: Provider, quirk: Quirk) -> bool:
    """Does ``provider`` have this quirk?"""
    return quirk in provider.quirks
