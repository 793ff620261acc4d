import pytest
from hypothesis import given, strategies as st

from mailbearer.providers.detect import detect_by_domain, detect_by_host, detect_by_mx


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("ada@gmail.com", "google"),
        ("ada@GoogleMail.com", "google"),
        ("ada@outlook.com", "outlook-com"),
        ("ada@hotmail.co.uk", "outlook-com"),
        ("ada@live.de", "outlook-com"),
        ("ada@msn.com", "outlook-com"),
        ("ada@harbourclinic.onmicrosoft.com", "microsoft365"),
        ("ada@yahoo.com.br", "yahoo"),
        ("ada@sbcglobal.net", "att"),
        ("ada@fastmail.fm", "fastmail"),
        ("ada@ya.ru", "yandex"),
        ("ada@gmx.at", "gmx-net"),
        ("ada@practice.example", "practice"),
        ("ada@hotmail.example.com", None),
        ("ada@notgmail.com", None),
        ("ada@harbourclinic.example", None),
        ("ada", None),
        ("", None),
    ],
)
def test_a_domain_tells_the_provider(address: str, provider: str | None) -> None:
    assert detect_by_domain(address) == provider


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        (["harbourclinic-example.mail.protection.outlook.com."], "microsoft365"),
        (["outlook-com.olc.protection.outlook.com"], "outlook-com"),
        (["harbour.mail.protection.office365.us"], "microsoft365-gcc-high"),
        (["ALT1.ASPMX.L.GOOGLE.COM"], "google"),
        (["mx-aol.mail.gm0.yahoodns.net"], "aol"),
        (["mta5.am0.yahoodns.net"], "yahoo"),
        (["in1-smtp.messagingengine.com", "in2-smtp.messagingengine.com"], "fastmail"),
        (["mx.notgoogle.com"], None),
        ([], None),
    ],
)
def test_a_mail_exchanger_tells_the_provider(hosts: list[str], provider: str | None) -> None:
    assert detect_by_mx(hosts) == provider


def test_a_server_tells_the_provider() -> None:
    found = detect_by_host("SMTP.office365.com")
    assert found is not None
    assert found.id == "microsoft365"
    assert detect_by_host("mail.example.com") is None


@given(st.text(max_size=100))
def test_any_text_is_answered(text: str) -> None:
    assert detect_by_domain(text) is None or "@" in text
    assert detect_by_mx([text]) is None or "." in text
