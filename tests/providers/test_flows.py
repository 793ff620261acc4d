from mailbearer.model.grant import Flow
from mailbearer.model.service import ServiceKind
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.flows import (
    advice_on,
    authorization_parameters,
    missing_scopes,
    offered,
    wanted_scopes,
)

MICROSOFT = load_catalogue().get("microsoft365")
GOOGLE = load_catalogue().get("google")


def test_microsoft_is_offered_with_a_browser_first_and_a_warning_about_codes() -> None:
    first, second = offered(MICROSOFT)
    assert (first.flow, second.flow) == (Flow.CODE, Flow.DEVICE)
    assert "stops working" in second.warning


def test_google_gives_no_codes() -> None:
    assert [advice.flow for advice in offered(GOOGLE)] == [Flow.CODE]
    assert advice_on(GOOGLE, Flow.DEVICE).warning == "Google gives no codes for mail accounts."


def test_yandex_gives_codes_first() -> None:
    assert offered(load_catalogue().get("yandex"))[0].flow is Flow.DEVICE


def test_a_provider_without_oauth_offers_nothing() -> None:
    gmx = load_catalogue().get("gmx-net")
    assert not offered(gmx)
    assert not advice_on(gmx, Flow.CODE).allowed


def test_scopes_are_for_one_service_with_renewal_and_identity() -> None:
    assert wanted_scopes(MICROSOFT, ServiceKind.POP) == (
        "https://outlook.office.com/POP.AccessAsUser.All",
        "offline_access",
        "openid",
        "email",
        "profile",
    )


def test_a_scope_that_was_not_granted_is_named() -> None:
    asked = wanted_scopes(MICROSOFT, ServiceKind.SMTP)
    assert missing_scopes(MICROSOFT, asked, ("openid",)) == ("https://outlook.office.com/SMTP.Send",)


def test_scopes_that_microsoft_leaves_out_of_its_answer_are_not_missed() -> None:
    asked = wanted_scopes(MICROSOFT, ServiceKind.SMTP)
    assert missing_scopes(MICROSOFT, asked, ("https://outlook.office.com/smtp.send",)) == ()


def test_an_answer_without_scopes_means_as_asked() -> None:
    assert missing_scopes(MICROSOFT, wanted_scopes(MICROSOFT, ServiceKind.SMTP), ()) == ()


def test_the_account_is_filled_in_where_it_is_taken() -> None:
    found = authorization_parameters(GOOGLE, "ada@example.com")
    assert found["login_hint"] == "ada@example.com"
    assert found["access_type"] == "offline"


def test_the_account_is_not_told_to_others() -> None:
    yahoo = load_catalogue().get("yahoo")
    assert "login_hint" not in authorization_parameters(yahoo, "ada@example.com")
    assert "login_hint" not in authorization_parameters(GOOGLE, "")
