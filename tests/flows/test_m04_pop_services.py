"""M4: two POP services exist from the start, any more may be added."""

import pytest

from mailbearer.errors import MailbearerError
from tests.flows.house import ANNA, House, held, listed

LABELS = ["POP3 Server", "Port Number", "Check Interval", "Enable SSL/TLS", "Authentication Method", "Provider"]
PLACES = {
    "pop.internet-fax": ["Image Send Settings › Internet Fax Settings › Server Settings"],
    "pop.email-print": ["Printer Settings › E-mail Print Settings"],
}


async def test_m04_two_exist_and_more_are_added_and_removed(house: House) -> None:
    for name, places in PLACES.items():
        shown = await house.do("service.show", service=name)
        assert shown["places"] == places
        assert {*LABELS, "Account Name"} <= set(held(shown, "labels").values())
        assert held(shown, "settings")["after_receiving"] == "delete"
    for name in ("pop.front-desk", "pop.second", "smtp.alerts"):
        added = await house.do("service.add", service=name, values={"provider": "practice", "account": ANNA})
        assert held(added, "token")["status"] == "Not Retrieved"
    assert held(await house.do("service.show", service="pop.second"), "settings")["after_receiving"] == "leave"
    assert len(listed(await house.do("service.list"), "services")) == 6
    await house.get_token("pop.second")
    await house.do("service.remove", service="pop.second")
    with pytest.raises(MailbearerError, match=r"pop\.second"):
        await house.do("token.access", service="pop.second")
    for name in PLACES:
        with pytest.raises(MailbearerError, match=name):
            await house.do("service.remove", service=name)
    with pytest.raises(MailbearerError):
        await house.do("service.add", service="pop.front-desk", values={})
