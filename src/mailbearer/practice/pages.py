"""The three pages of a sign-in (enter the code, sign in, allow or deny) and what follows, as HTML without a script.

Everything that is filled in is escaped; a template is a literal of this file and nothing else.
"""

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import LiteralString

from mailbearer.practice.options import SCOPES


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def fill(template: LiteralString, **values: str) -> Html:
    """Return ``template`` with each ``{name}`` replaced by its value, escaped unless it is HTML already."""
    safe = {name: value if isinstance(value, Html) else escape(value) for name, value in values.items()}
    return Html(template.format_map(safe))


def stylesheet() -> str:
    """Return the style sheet of all pages."""
    return files("mailbearer.practice").joinpath("static", "practice.css").read_text("utf-8")


def enter_code(*, problem: str = "") -> Html:
    """Ask for the code that the device shows."""
    return _page(
        "Enter the code",
        fill(
            _ENTER_CODE,
            problem=_problem(problem),
            invalid=Html(' aria-invalid="true" aria-describedby="problem"' if problem else ""),
        ),
        step=1,
    )


def sign_in(action: str, hidden: Mapping[str, str], *, account: str, problem: str = "") -> Html:
    """Ask who it is; ``account`` is filled in already."""
    return _page(
        "Sign in",
        fill(
            _SIGN_IN,
            action=action,
            hidden=_hidden(hidden),
            account=account,
            problem=_problem(problem),
            invalid=Html(' aria-invalid="true" aria-describedby="problem"' if problem else ""),
        ),
        step=2,
    )


def consent(action: str, hidden: Mapping[str, str], *, application: str, scopes: Iterable[str], code: str) -> Html:
    """Ask whether ``application`` may do what ``scopes`` say; ``code`` is what its device must show, or empty."""
    account = hidden["account"]
    permissions = (SCOPES[scope].format(account=account) for scope in scopes)
    return _page(
        f"Allow {application}?",
        fill(
            _CONSENT,
            action=action,
            hidden=_hidden(hidden),
            application=application,
            account=account,
            permissions=_join(fill(_PERMISSION, text=text) for text in permissions),
            code=fill(_CODE, code=code) if code else Html(""),
        ),
        step=3,
    )


def done(title: str, text: str, *, good: bool) -> Html:
    """Say how it ended, or what cannot be."""
    mark = _GOOD if good else _BAD
    return _page(title, fill(_DONE, title=title, text=text, mark=Html(mark), kind="good" if good else "bad"), step=0)


def _page(title: str, content: Html, *, step: int) -> Html:
    progress = fill(_PROGRESS, step=str(step)) if step else Html("")
    return fill(_PAGE, title=title, content=content, progress=progress)


def _hidden(fields: Mapping[str, str]) -> Html:
    return _join(fill(_HIDDEN, name=name, value=value) for name, value in fields.items())


def _problem(text: str) -> Html:
    return fill(_PROBLEM, text=text) if text else Html("")


def _join(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} - Practice provider</title>
<link rel="stylesheet" href="/practice.css">
</head>
<body>
<header>
<svg class="mark" viewBox="0 0 30 30" aria-hidden="true"><rect width="30" height="30" rx="7"/>
<path d="M6.5 21.5v-12l8.5 7 8.5-7v12"/></svg>
<span class="brand">Practice provider<small>on this machine</small></span>
{progress}
</header>
<main>
{content}
</main>
<footer>Everything here is make-believe: no password, no real mailbox, and nothing leaves this machine.</footer>
</body>
</html>
"""

_PROGRESS = '<span class="step">Step {step} of 3</span>'

_PROBLEM = """<p class="problem" id="problem" role="alert">
<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 1 15.5 14.5H.5z"/><path class="cut" d="M8 6v4M8 12.2v.1"/></svg>
<span>{text}</span></p>"""

_HIDDEN = '<input type="hidden" name="{name}" value="{value}">\n'

_ENTER_CODE = """<h1>Enter the code</h1>
<p class="lead">Type the code that your device or command shows.</p>
<form method="post" action="/device">
<div><label for="user_code">Code</label>
<input class="code" id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" autocorrect="off"
spellcheck="false" maxlength="20" size="9" required autofocus{invalid}>
{problem}</div>
<div class="acts"><button class="go">Next</button></div>
</form>"""

_SIGN_IN = """<h1>Sign in</h1>
<p class="lead">Every name at practice.example has an account here, and none has a password.</p>
<form method="post" action="{action}">
{hidden}<div><label for="account">Account</label>
<input id="account" name="account" value="{account}" autocomplete="off" autocapitalize="none" autocorrect="off"
spellcheck="false" inputmode="email" maxlength="100" required autofocus{invalid}>
{problem}</div>
<div class="acts"><button class="go">Next</button></div>
</form>"""

_CONSENT = """<h1>Allow {application}?</h1>
<p class="lead">You are signed in as <b>{account}</b>. {application} would like to:</p>
<ul class="may">
{permissions}</ul>
{code}<form method="post" action="{action}">
{hidden}<div class="acts"><button name="decision" value="deny">Deny</button>
<button class="go" name="decision" value="allow">Allow</button></div>
</form>"""

_PERMISSION = """<li><svg viewBox="0 0 16 16" aria-hidden="true"><path d="m3.5 8.5 3 3 6-7"/></svg>
<span>{text}</span></li>
"""

_CODE = """<p class="check">Go on only if your device shows this code: <b class="code">{code}</b></p>
"""

_DONE = """<div class="end {kind}">{mark}
<h1>{title}</h1>
<p class="lead">{text}</p></div>"""

_GOOD = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="m5.5 12.5 4.5 4.5 8.5-10"/></svg>'
_BAD = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="m7 7 10 10m0-10-10 10"/></svg>'
