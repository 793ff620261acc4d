"""M5: every POP service has a token of its own; nothing done to one changes another, or SMTP."""

from tests.flows.house import SERVICES, House, text


async def test_m05_tokens_of_one_account_live_and_die_apart(house: House) -> None:
    for service in SERVICES:
        await house.get_token(service)
    held = {text(await house.do("token.access", service=each), "access_token") for each in SERVICES}
    assert len(held) == 3
    await house.do("token.delete", service="pop.internet-fax")
    house.clock.set_forward(hours=2)
    for service in ("smtp", "pop.email-print"):
        await house.do("token.refresh", service=service)
        assert await house.word(service) == "Retrieved"
    assert await house.word("pop.internet-fax") == "Not Retrieved"
    await house.get_token("pop.internet-fax")
    await house.do("token.delete", service="smtp")
    assert [await house.word(each) for each in SERVICES] == ["Not Retrieved", "Retrieved", "Retrieved"]
