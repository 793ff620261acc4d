"""The pages that a person walks through: who is it, and may the application do what it asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailbearer.errors import AuthorizationError, InvalidInputError, NotFoundError
from mailbearer.practice import pages
from mailbearer.practice.options import CLIENT_ID, DOMAIN, account_of
from mailbearer.practice.sign_ins import CodeRequest, SignIns, with_query

DEFAULT_ACCOUNT = f"scanner@{DOMAIN}"

_ASKED = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "login_hint",
)
_ORIGIN = re.compile(r"(https?://[A-Za-z0-9.\[\]:-]+)(?:[/?].*)?")

Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Question:
    """What a person is asked, and how the pages of one sign-in carry it from one to the next."""

    action: str
    hidden: Mapping[str, str]
    client_id: str
    scopes: tuple[str, ...]
    code: str = ""
    account: str = DEFAULT_ACCOUNT  # stands in the field already
    target: str = ""  # where the browser is sent in the end; forms may lead there


class SignInPages:
    """One method for each address; ``form`` is the query of a GET or the body of a POST."""

    def __init__(self, sign_ins: SignIns) -> None:
        self._sign_ins = sign_ins

    def start(self, _request: Request, _form: Form) -> Response:
        """Lead from the address alone to the page for codes."""
        return RedirectResponse("/device", status_code=303)

    def stylesheet(self, _request: Request, _form: Form) -> Response:
        """Give the style sheet."""
        return Response(pages.stylesheet(), media_type="text/css")

    def device(self, request: Request, form: Form) -> Response:
        """Enter the code, sign in, decide (RFC 8628 section 3.3)."""
        if "user_code" not in form:
            return page_response(pages.enter_code())
        try:
            waiting = self._sign_ins.device(form["user_code"])
        except NotFoundError:
            problem = "This code is not known here, or it has run out. Ask your device for a new one."
            return page_response(pages.enter_code(problem=problem), status=404)
        question = _Question(
            action="/device",
            hidden={"user_code": waiting.user_code},
            client_id=waiting.client_id,
            scopes=waiting.scopes,
            code=waiting.user_code,
        )
        answers = _answers(request, form)
        return self._ask(question, answers) or self._decide_device(waiting.user_code, answers)

    def authorize(self, request: Request, form: Form) -> Response:
        """Sign in, decide, and go back with a code (RFC 6749 section 4.1.1)."""
        try:
            asked = self._sign_ins.check_code_request(form)
        except InvalidInputError as problem:
            text = f"The application asked wrongly. {problem.fields['field']}: {problem.fields['problem']}."
            return page_response(pages.done("This sign-in cannot go on", text, good=False), status=400)
        except AuthorizationError as problem:
            return _back_with(problem, form)
        question = _Question(
            action="/authorize",
            hidden={name: form[name] for name in _ASKED if name in form},
            client_id=asked.client_id,
            scopes=asked.scopes,
            account=account_of(asked.login_hint) or DEFAULT_ACCOUNT,
            target=_origin(asked.redirect_uri),
        )
        answers = _answers(request, form)
        return self._ask(question, answers) or _to(self._decide_code(asked, answers))

    def _ask(self, question: _Question, answers: Form) -> Response | None:
        """Return the next page, or None when everything has been answered."""
        if "account" not in answers:
            return _sign_in_page(question, question.account)
        try:
            account = self._sign_ins.check_account(answers["account"])
        except InvalidInputError as problem:
            blocked = problem.code != "MB-W22"
            text = "This account is blocked." if blocked else f"Enter a name, such as {DEFAULT_ACCOUNT}."
            return _sign_in_page(question, answers["account"], problem=text)
        if "decision" in answers:
            return None
        page = pages.consent(
            question.action,
            {**question.hidden, "account": account},
            application="Mailbearer" if question.client_id == CLIENT_ID else question.client_id,
            scopes=question.scopes,
            code=question.code,
        )
        return page_response(page, target=question.target)

    def _decide_device(self, user_code: str, form: Form) -> Response:
        if form["decision"] != "allow":
            self._sign_ins.deny_device(user_code)
            text = "Nothing was given away. You may close this page."
            return page_response(pages.done("Denied", text, good=False))
        self._sign_ins.allow_device(user_code, form["account"])
        text = "Your device goes on by itself in a few seconds. You may close this page."
        return page_response(pages.done("Allowed", text, good=True))

    def _decide_code(self, asked: CodeRequest, form: Form) -> str:
        if form["decision"] != "allow":
            return self._sign_ins.deny_code(asked)
        return self._sign_ins.allow_code(asked, form["account"])


def page_response(page: pages.Html, *, status: int = 200, target: str = "") -> Response:
    """Return ``page`` with headers that let it do nothing but show itself and send its form here or to ``target``."""
    policy = (
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {target}".rstrip()  # browsers apply it to the redirect that answers a form, too
    )
    # with no-referrer a browser would call the origin of a form "null"
    headers = {"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
    return HTMLResponse(page, status_code=status, headers=headers)


def _answers(request: Request, form: Form) -> Form:
    """Return what the person answered so far; a link must not answer for anybody."""
    return {name: form[name] for name in ("account", "decision") if name in form and request.method == "POST"}


def _sign_in_page(question: _Question, account: str, *, problem: str = "") -> Response:
    page = pages.sign_in(question.action, question.hidden, account=account, problem=problem)
    return page_response(page, status=400 if problem else 200)


def _back_with(problem: AuthorizationError, form: Form) -> Response:
    """Tell the application about its mistake (RFC 6749 section 4.1.2.1); its redirect address has been checked."""
    answer = {"error": problem.refusal.error, "error_description": problem.refusal.description}
    state = {"state": form["state"]} if "state" in form else {}
    return _to(with_query(form["redirect_uri"], answer | state))


def _to(address: str) -> Response:
    return Response(status_code=303, headers={"Location": address})


def _origin(address: str) -> str:
    found = _ORIGIN.fullmatch(address)
    return found[1] if found else ""
