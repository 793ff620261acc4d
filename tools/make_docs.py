"""Write the generated pages of docs/: ``tools/make_docs.py [errors] [providers]``; without a name, all of them."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from mailbearer.model.grant import Flow
from mailbearer.model.provider import Provider
from mailbearer.model.service import ServiceKind
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
        "Every message of Mailbearer has a reference (MB-…) that keeps its meaning. Each page, command and the",
        "API shows what happened, why, what to do, and who must do it. The texts are in `src/mailbearer/sentences.py`;",
        "here the words that depend on the case stand in general form.",
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


PAGES: Mapping[str, Callable[[], str]] = {"errors": errors, "providers": providers}


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
