"""The pages that a person sees, walked through as a browser would."""

import base64
import hashlib
import re
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from mailbearer.errors import AuthorizationError, InvalidInputError
from mailbearer.practice.options import CLIENT_ID, PracticeOptions
from tests.practice.conftest import ALL_SCOPES, ANNA, Application, word

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "http://127.0.0.1:8400/callback?from=practice"
ASKED = {
    "client_id": CLIENT_ID,
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": ALL_SCOPES,
    "state": "s t&a=te",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "nonce": "n-1",
}


def authorization_url(application: Application, **changes: str) -> str:
    return f"{application.world.issuer}/authorize?{urlencode(ASKED | changes)}"


async def step(application: Application, page: httpx2.Response, **typed: str) -> httpx2.Response:
    """Fill in the form of ``page`` and send it, as a browser does."""
    action = re.search(r'<form method="post" action="([^"]+)"', page.text)
    assert action is not None, page.text
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    form = {name: unescape(value) for name, value in hidden} | typed
    return await application.http.post(
        f"{application.world.issuer}{action[1]}", data=form, headers={"Origin": application.world.issuer}
    )


def answer_in(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


async def redeem(application: Application, code: str, **changes: str) -> httpx2.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return await application.post("/token", **(form | changes))


async def test_person_enters_the_code_signs_in_and_allows(application: Application) -> None:
    asked = await application.ask()
    start = await application.http.get(application.world.issuer, follow_redirects=True)
    page = await step(application, start, user_code=asked["user_code"].lower().replace("-", " "))
    page = await step(application, page, account="Anna")
    assert "Read and delete the mail of anna@practice.example" in page.text
    assert asked["user_code"] in page.text
    page = await step(application, page, decision="allow")
    assert "<h1>Allowed</h1>" in page.text
    assert (await application.poll(asked)).status_code == 200


async def test_person_denies(application: Application) -> None:
    asked = await application.ask()
    page = await application.http.get(asked["verification_uri_complete"])
    page = await step(application, await step(application, page, account="anna"), decision="deny")
    assert "<h1>Denied</h1>" in page.text
    assert word(await application.poll(asked)) == "access_denied"


async def test_wrong_code_is_asked_for_again(application: Application) -> None:
    page = await application.http.get(f"{application.world.issuer}/device")
    page = await step(application, page, user_code="AAAA-AAAA")
    assert page.status_code == 404
    assert "This code is not known here" in page.text
    assert 'aria-invalid="true"' in page.text


@pytest.mark.parametrize("account", ["anna@elsewhere.example", "a b", "../etc", "x" * 90])
async def test_account_of_somebody_else_is_asked_for_again(application: Application, account: str) -> None:
    page = await application.http.get((await application.ask())["verification_uri_complete"])
    page = await step(application, page, account=account)
    assert page.status_code == 400
    assert "Enter a name, such as scanner@practice.example." in page.text


async def test_blocked_account_cannot_sign_in(application: Application) -> None:
    application.world.disable(ANNA)
    page = await application.http.get((await application.ask())["verification_uri_complete"])
    assert "This account is blocked." in (await step(application, page, account="anna")).text


async def test_link_alone_decides_nothing(application: Application) -> None:
    asked = await application.ask()
    address = f"{asked['verification_uri_complete']}&account=anna&decision=allow"
    assert "<h1>Sign in</h1>" in (await application.http.get(address)).text
    assert word(await application.poll(asked)) == "authorization_pending"


async def test_form_of_another_site_decides_nothing(application: Application) -> None:
    asked = await application.ask()
    answer = await application.http.post(
        f"{application.world.issuer}/device",
        data={"user_code": asked["user_code"], "account": "anna", "decision": "allow"},
        headers={"Origin": "https://evil.example"},
    )
    assert answer.status_code == 403
    assert word(await application.poll(asked)) == "authorization_pending"


async def test_what_was_typed_is_escaped(application: Application) -> None:
    page = await application.http.get((await application.ask())["verification_uri_complete"])
    page = await step(application, page, account='"><script>alert(1)</script>{account}')
    assert "<script" not in page.text
    assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;{account}" in page.text


async def test_application_of_another_name_is_named_and_escaped(application: Application) -> None:
    application.world.options = PracticeOptions(clients={"<b>X</b>": None})
    answer = await application.post("/device_authorization", client_id="<b>X</b>", scope="mail.send")
    page = await application.http.get(answer.json()["verification_uri_complete"])
    page = await step(application, page, account="anna")
    assert "Allow &lt;b&gt;X&lt;/b&gt;?" in page.text


async def test_pages_may_do_nothing_but_show_themselves(application: Application) -> None:
    page = await application.http.get(f"{application.world.issuer}/device")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert policy.endswith("form-action 'self'")
    assert "style=" not in page.text
    assert "<script" not in page.text


async def test_pages_have_their_style_sheet(application: Application) -> None:
    answer = await application.http.get(f"{application.world.issuer}/practice.css")
    assert answer.headers["Content-Type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in answer.text


async def test_browser_goes_back_with_a_code_that_gives_tokens(application: Application) -> None:
    page = await application.http.get(authorization_url(application, login_hint="otto@practice.example"))
    assert 'value="otto@practice.example"' in page.text
    page = await step(application, page, account="anna")
    assert page.headers["Content-Security-Policy"].endswith("form-action 'self' http://127.0.0.1:8400")
    back = await step(application, page, decision="allow")
    assert back.status_code == 303
    assert back.headers["Location"].startswith(f"{CALLBACK}&")
    answer = answer_in(back.headers["Location"])
    assert (answer["state"], answer["iss"]) == (ASKED["state"], application.world.issuer)
    tokens = (await redeem(application, answer["code"])).json()
    assert (await application.userinfo(tokens["access_token"])).json()["email"] == ANNA


async def test_browser_goes_back_with_the_refusal(application: Application) -> None:
    page = await step(application, await application.http.get(authorization_url(application)), account="anna")
    answer = answer_in((await step(application, page, decision="deny")).headers["Location"])
    assert (answer["error"], answer["state"]) == ("access_denied", ASKED["state"])


async def test_code_works_once_and_its_tokens_end_when_it_returns(application: Application) -> None:
    code = answer_in(application.world.authorize(authorization_url(application), "anna"))["code"]
    tokens = (await redeem(application, code)).json()
    assert word(await redeem(application, code)) == "invalid_grant"
    assert (await application.userinfo(tokens["access_token"])).status_code == 401


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "w" * 43}, {"code_verifier": "short"}, {"redirect_uri": "http://127.0.0.1/"}]
)
async def test_code_needs_its_verifier_and_redirect_address(application: Application, changes: dict[str, str]) -> None:
    code = answer_in(application.world.authorize(authorization_url(application), "anna"))["code"]
    assert word(await redeem(application, code, **changes)) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
    ],
)
async def test_wrong_request_goes_back_to_the_application(
    application: Application, changes: dict[str, str], error: str
) -> None:
    back = await application.http.get(authorization_url(application, **changes))
    answer = answer_in(back.headers["Location"])
    assert (back.status_code, answer["error"], answer["state"]) == (303, error, ASKED["state"])


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://localhost.evil.example/"},
        {"redirect_uri": "http://127.0.0.1/#fragment"},
        {"redirect_uri": "http://127.0.0.1/a\r\nb"},
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_registered(
    application: Application, changes: dict[str, str]
) -> None:
    page = await application.http.get(authorization_url(application, **changes))
    assert page.status_code == 400
    assert "This sign-in cannot go on" in page.text


async def test_redirect_address_may_be_registered(application: Application) -> None:
    callback = "https://mail.example/callback"
    application.world.options = PracticeOptions(redirect_uris=(callback,))
    url = authorization_url(application, redirect_uri=callback)
    assert application.world.authorize(url, "anna").startswith(f"{callback}?code=")


async def test_world_refuses_for_the_person(application: Application) -> None:
    assert answer_in(application.world.refuse(authorization_url(application)))["error"] == "access_denied"


async def test_world_does_not_decide_about_a_wrong_request(application: Application) -> None:
    with pytest.raises(AuthorizationError):
        application.world.authorize(authorization_url(application, scope="everything"), "anna")
    with pytest.raises(InvalidInputError):
        application.world.authorize(authorization_url(application), "anna@elsewhere.example")
