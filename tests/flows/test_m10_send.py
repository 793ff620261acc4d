"""M10: with status Retrieved the machine sends through the SMTP service with the token."""

import pytest

from tests.flows.house import ANNA, BOB, House, text


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_m10_message_goes_out_with_the_token(house: House, tls: str) -> None:
    port = house.world.ports.smtps if tls == "tls" else house.world.ports.smtp
    await house.do("service.set", service="smtp", values={"tls": tls, "port": str(port)})
    await house.get_token()
    sent = await house.send(BOB, ANNA)
    assert sent["state"] == "Accepted", sent
    for account in (BOB, ANNA):
        (message,) = house.world.mailbox(account)
        assert message.endswith(b"Subject: Scan\r\nMessage-ID: <Scan@scan>\r\n\r\n.Scan\r\n")
    signed_in = [entry.outcome for entry in house.world.journal if entry.grant_type in {"XOAUTH2", "OAUTHBEARER"}]
    assert signed_in == ["ok"]


async def test_m10_nothing_goes_out_without_a_token_and_nothing_is_lost(house: House) -> None:
    sent = await house.send(BOB)
    assert (sent["state"], sent["code"]) == ("Held", "MB-T54")
    await house.get_token()
    await house.do("queue.flush")
    assert (await house.do("queue.show", id=text(sent, "id")))["state"] == "Accepted"
    assert len(house.world.mailbox(BOB)) == 1
