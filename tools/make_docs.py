"""Write the generated pages of docs/: ``tools/make_docs.py [NAME...]``; without a name, all of them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields as keys_of
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from mailbearer.admin import fields
from mailbearer.admin.standard import STANDARD
from mailbearer.config.schema import LISTENERS_MAX, LISTS, SECTIONS, WATCHES_MAX
from mailbearer.model.grant import Flow
from mailbearer.model.provider import Provider
from mailbearer.model.service import AfterReceiving, AuthMethod, PopSettings, ServiceKind, SmtpSettings, TlsMode
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.quirks import QUIRKS, Quirk
from mailbearer.sentences import SENTENCES, fill

DOCS = Path(__file__).resolve().parent.parent / "docs"
FAMILIES = {
    "T": "Tokens and providers",
    "S": "Sending",
    "P": "Receiving",
    "G": "Devices",
    "W": "Settings, pages, commands",
    "D": "Data folder and database",
}
WHO = {
    "nobody": "nobody",
    "administrator": "you, the administrator",
    "account": "the owner of the account",
    "provider-administrator": "the administrator at the provider",
}
WAYS = {Flow.CODE: "Sign-in with a browser", Flow.DEVICE: "Sign-in with a code"}
MADE = "<!-- made by tools/make_docs.py; change the source named below, then run make docs -->\n"


def errors() -> str:
    """Return docs/errors.md."""
    lines = [
        "# Errors",
        MADE,
        "Every message of Mailbearer has a reference (MB-…) that keeps its meaning. It comes with what happened, why,",
        "what to do, and who must do it. The texts are in `src/mailbearer/sentences.py`; some are kept for parts that",
        "are still to come (pages). Here the words that depend on the case stand in general form.",
    ]
    for letter, title in FAMILIES.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| Reference | What happened | Why, and what to do | Who acts |",
            "|---|---|---|---|",
        ]
        for code in sorted(code for code in SENTENCES if code[3] == letter):
            sentence = SENTENCES[code]
            cells = (code, fill(sentence.what, {}), fill(sentence.why, {}), WHO[sentence.actor])
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def providers() -> str:
    """Return docs/providers.md."""
    lines = [
        "# Providers",
        MADE,
        "What to register where, which ways to a token there are, and what to know before. `mailbearer provider detect",
        "ADDRESS` finds the provider of an address; `mailbearer provider set ID client_id=…` enters what you",
        "registered. The source is `src/mailbearer/providers/data/catalogue`; [how to add one](adding-a-provider.md).",
        "",
        "A token is shown to the servers listed here and to no others, until you add one to the provider. Facts that",
        "no source settled are marked unconfirmed. Mailbearer brings no Client IDs: yours belong to your organization.",
        "",
        "| Provider | Id | OAuth 2.0 for mail | Ways |",
        "|---|---|---|---|",
    ]
    for provider in load_catalogue().all():
        ways = [WAYS[one.flow].removeprefix("Sign-in with a ") for one in provider.flows if one.allowed]
        yes = "yes" if provider.oauth else "no"
        lines.append(
            f"| [{provider.name}](#{anchor(provider.name)}) | `{provider.id}` | {yes} | {', '.join(ways) or '–'} |"
        )
    for provider in load_catalogue().all():
        lines += ["", f"## {provider.name}", "", *about(provider)]
    return "\n".join(lines) + "\n"


def anchor(title: str) -> str:
    """Return the anchor that a heading gets."""
    return "".join(char for char in title.lower().replace(" ", "-") if char.isalnum() or char in "-_")


def about(provider: Provider) -> list[str]:
    """Return what is to be said of one provider."""
    lines = [f"Id `{provider.id}`."]
    if provider.placeholders:
        default = f" (without one: {provider.tenant_default})" if provider.tenant_default else ""
        lines.append(f"It wants to know: {', '.join(provider.placeholders)}{default}.")
    lines += ["", *(f"- {note}" for note in provider.notes)]
    if provider.secret_wanted:
        lines.append(f"- Client secret: {provider.secret_wanted[0].lower()}{provider.secret_wanted[1:]}")
    lines += [f"- {way_of(provider, flow)}" for flow in Flow if provider.oauth]
    lines += [f"- {line}" for line in (*servers_of(provider), *scopes_of(provider))]
    if provider.idle_lifetime_days:
        lines.append(
            f"- A token lapses after {provider.idle_lifetime_days} days without use; Mailbearer renews it daily."
        )
    if provider.unconfirmed:
        lines.append(f"- Unconfirmed: {', '.join(provider.unconfirmed)}.")
    quirks = [QUIRKS[Quirk(name)] for name in sorted(provider.quirks)]
    if quirks:
        lines += ["", "What is different here:", ""]
        lines += [f"- {quirk.text} ({quirk.source}, {quirk.dated})" for quirk in quirks]
    return lines


def way_of(provider: Provider, flow: Flow) -> str:
    """Return one sentence on a way to a token."""
    advice = next(one for one in provider.flows if one.flow is flow)
    return f"{WAYS[flow]}: {'yes.' if advice.allowed else 'no.'} {advice.warning}".rstrip()


def servers_of(provider: Provider) -> list[str]:
    """Return the mail servers, a line for each kind."""
    titles = {ServiceKind.SMTP: "Primary Server", ServiceKind.POP: "POP3 Server"}
    return [
        f"{titles[kind]}: {', '.join(f'`{one.host}:{one.port}` ({one.tls})' for one in servers)}."
        for kind, servers in provider.servers.items()
        if servers
    ]


def scopes_of(provider: Provider) -> list[str]:
    """Return the scopes that are asked for, a line for each kind."""
    extra = (*provider.refresh_scopes, *provider.identity_scopes)
    return [
        f"Scopes for {kind.upper()}: {', '.join(f'`{scope}`' for scope in dict.fromkeys((*scopes, *extra)))}."
        for kind, scopes in provider.scopes.items()
        if scopes
    ]


def settings() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings of the process: mailbearer.toml",
        MADE.replace("named below", "`src/mailbearer/config/schema.py`"),
        "`mailbearer.toml` in the data folder says what must be known before the database is open. It need not exist:",
        "every key has a default. Everything else is set with commands ([services](services.md),",
        "[providers](providers.md)) and lives in the database.",
        "",
        "A mistake in it is told with section and key (MB-W05, MB-W26), and nothing starts. A running",
        "`mailbearer serve` reads it again on SIGHUP (`systemctl reload mailbearer`) and takes over `[web]`, `[log]`,",
        "`[[listener]]` and `[[watch]]`; the rest takes effect at the next start. When the new file has a mistake, the",
        "log says so and the old settings stay.",
    ]
    for section, schema in SECTIONS.items():
        about_it = (schema.__doc__ or "").strip().rstrip(".")
        lines += ["", f"## [{section}]: {about_it[0].lower()}{about_it[1:]}", "", *keys_table(schema)]
    for section, schema in LISTS.items():
        lines += ["", f"## [[{section}]]", "", *LISTS_START[section], "", *keys_table(schema)]
    return "\n".join([*lines, *SETTINGS_END]) + "\n"


def keys_table(schema: type) -> list[str]:
    """Return the table of the keys of a section."""
    lines = ["| Key | Default | Meaning |", "|---|---|---|"]
    for key in keys_of(schema):
        default = key.metadata["default"]
        words = "empty" if not default else default if " " in default else f"`{default}`"
        lines.append(f"| `{key.name}` | {words} | {key.metadata['meaning']} |")
    return lines


def services() -> str:
    """Return docs/services.md."""
    lines = [
        "# Services and their fields",
        MADE.replace("named below", "`src/mailbearer/admin/fields.py`"),
        *SERVICES_START,
    ]
    lines += ["", "| Service | Title | Places |", "|---|---|---|"]
    lines += [f"| `{one.id}` | {one.title} | {'<br>'.join(one.places)} |" for one in STANDARD]
    lines += [*SERVICES_MORE, "", "## Fields of an SMTP service", "", *FIELDS_HEAD]
    smtp, pop = SmtpSettings(), PopSettings()
    lines += [field_row(each.name, each.label, each.show(smtp)) for each in fields.SMTP_FIELDS.values()]
    lines += ["", "## Fields of a POP service", "", *FIELDS_HEAD]
    lines += [field_row(each.name, each.label, each.show(pop)) for each in fields.POP_FIELDS.values()]
    return "\n".join([*lines, *SERVICES_END]) + "\n"


def field_row(name: str, label: str, default: str) -> str:
    """Return one row of a table of fields; a field without a meaning in ``FIELD_MEANINGS`` is an error."""
    return f"| `{name}` | {label} | {f'`{default}`' if default else 'empty'} | {FIELD_MEANINGS[name]} |"


def spread(ends: tuple[timedelta, timedelta]) -> str:
    """Return the limits of a time."""
    return f"{fields.shown_duration(ends[0])} to {fields.shown_duration(ends[1])}"


def words(kind: type[StrEnum]) -> str:
    """Return the words of ``kind``."""
    return ", ".join(f"`{each}`" for each in kind)


LISTS_START: Mapping[str, list[str]] = {
    "listener": [
        f"A door for devices; write `[[listener]]` once for each, {LISTENERS_MAX} at most. Without any there is that",
        "of the defaults; `listener = []` closes all. What the modes mean is told in [gateway](gateway.md#listeners).",
    ],
    "watch": [
        f"A folder whose files are sent; write `[[watch]]` once for each, {WATCHES_MAX} at most:",
        "[watched folders](watched-folder.md).",
    ],
}
SETTINGS_END = """\

## Example

```toml
[web]
address = "0.0.0.0:8080"

[key]
source = "credential"

[log]
format = "json"

[[listener]]
name = "network"
address = "0.0.0.0:2525"
networks = ["192.168.20.0/24"]

[[watch]]
folder = "/srv/scans/front-desk"
to = ["front-desk@example.com"]
```

Where the key comes from is told at length in [storage](storage.md#where-the-key-comes-from), what the web listener
serves in [web](web.md).
""".splitlines()
SERVICES_START = """\
A service is one mail setting: the SMTP service sends, a POP service receives. Each has a token of its own; nothing
done to one changes another, even when two name the same account. These exist from the start and cannot be removed:
""".splitlines()
SERVICES_MORE = """\

The four places of `smtp` are one record: what is changed in one is changed in all.

`mailbearer service add pop.NAME` and `mailbearer service add smtp.NAME` make more (small letters, digits and hyphens);
`mailbearer service remove NAME` removes them with their token, unless mail waits for them (MB-W27) or
[devices](devices.md) send through them (MB-G09).

`mailbearer service set SERVICE FIELD=VALUE …` changes fields. All values are checked before one of them is stored; a
wrong one is named (MB-W05, MB-W26) and nothing is changed. `FIELD=` empties a field.

**Choosing a provider fills in what is known**: server, port, Enable SSL/TLS and Authentication Method. What you give in
the same command wins. A server that is not one of the provider's is refused (MB-T40) unless you added it with
`mailbearer provider set PROVIDER hosts=NAME`.

**While a token is held** (or somebody is signing in), changing Provider or Account Name is refused (MB-T45), because
the token belongs to the old account. `--delete-token` deletes it and changes in one step.
""".splitlines()
FIELDS_HEAD = ["| Field | Label | Default | Values |", "|---|---|---|---|"]
HOST = "a server name or IP address, without port and without https://"
SEALED = (
    f"at most {fields.SECRET_MAX} characters; never on the command line: `password=@FILE` or `password=-`; kept sealed"
)
FIELD_MEANINGS: Mapping[str, str] = {
    "primary_server": HOST,
    "secondary_server": f"tried when the first cannot be reached, for five minutes at a time; {HOST}",
    "server": HOST,
    "port": "1 to 65535",
    "timeout": f"how long a server may be silent; {spread(fields.TIMEOUT_RANGE)} (`90`, `90s`, `5m`, `1h`)",
    "sender_name": f"the name in From; at most {fields.TEXT_MAX} characters",
    "sender_address": "the address in From and of the envelope; filled in from an Account Name that is an address",
    "tls": f"{words(TlsMode)}; with OAuth 2.0 never `off` (MB-T41)",
    "auth": f"{words(AuthMethod)}; a POP service takes no `none`",
    "provider": "an id of `mailbearer provider list`",
    "account": "the account that signs in: its address; at a provider of your own any name; at most 320 characters",
    "sasl_user": "the name shown to the mail server, for a [shared mailbox](signing-in.md#shared-mailboxes); "
    "empty: the account",
    "password": SEALED,
    "check_interval": f"how often the mailbox is looked into; {spread(fields.INTERVAL_RANGE)}",
    "after_receiving": f"{words(AfterReceiving)}; the two standard POP services begin with `{AfterReceiving.DELETE}`",
    "destinations": f"where received items go, at most {fields.DESTINATIONS_MAX}, a comma between them: "
    "[receiving](receiving.md#destinations)",
}
SERVICES_END = """\

A time without a unit is in seconds. A listing shows passwords only as set or not.

With `auth=password` the password travels inside TLS only, except to this machine itself.
""".splitlines()
PAGES: Mapping[str, Callable[[], str]] = {
    "errors": errors,
    "providers": providers,
    "services": services,
    "settings": settings,
}


def main(names: list[str]) -> int:
    """Write the pages ``names``, or all."""
    for name in names or PAGES:
        if name not in PAGES:
            print(f"There is no page {name}. There are: {', '.join(PAGES)}.", file=sys.stderr)
            return 2
        (DOCS / f"{name}.md").write_text(PAGES[name](), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
