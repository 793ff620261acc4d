"""M8: Delete asks first; then the token is gone everywhere, the provider is told, and nothing brings it back."""

import asyncio

import pytest

from mailbearer.errors import MailbearerError
from tests.flows.house import House, until


async def test_m08_delete_asks_and_then_it_is_gone(house: House) -> None:
    await house.get_token()
    assert "MB-T53" in (await house.run("token", "delete", "smtp", code=1)).err
    assert await house.word() == "Retrieved"
    assert "Not Retrieved" in (await house.run("token", "delete", "smtp", "--yes")).out
    assert await house.word() == "Not Retrieved"
    assert [entry.outcome for entry in house.world.journal if entry.endpoint == "/revoke"] == ["ok"]
    with pytest.raises(MailbearerError, match="MB-T54"):
        await house.do("token.access", service="smtp")
    assert (await house.do("token.delete", service="smtp"))["existed"] is False


@pytest.mark.parametrize("deed", ["token.refresh", "token.access"])
async def test_m08_late_answer_of_a_renewal_brings_nothing_back(house: House, deed: str) -> None:
    await house.get_token()
    house.clock.set_forward(hours=2)
    house.world.fault("/token", delay=0.3)
    house.world.fault("/revoke", status=503)
    async with asyncio.TaskGroup() as tasks:
        renewing = tasks.create_task(_failing(house, deed))
        await asyncio.sleep(0.1)
        assert (await house.do("token.delete", service="smtp"))["status"] == "Not Retrieved"
        assert await renewing == "MB-T54"
    assert await house.word() == "Not Retrieved"
    await until(lambda: [e.outcome for e in house.world.journal if e.endpoint == "/revoke"] == ["fault 503", "ok"])


async def test_m08_late_answer_of_a_sign_in_brings_nothing_back(house: House) -> None:
    url = (await house.do("token.get", service="smtp", flow="code"))["pending"]
    assert isinstance(url, dict)
    back = house.world.authorize(str(url["authorization_url"]), "anna@practice.example")
    house.world.fault("/token", delay=0.3)
    async with asyncio.TaskGroup() as tasks:
        redeeming = tasks.create_task(_failing(house, "token.redirect", url=back))
        await asyncio.sleep(0.1)
        await house.do("token.delete", service="smtp")
        assert await redeeming == "MB-T52"
    assert await house.word() == "Not Retrieved"


async def _failing(house: House, deed: str, **arguments: str) -> str:
    try:
        await house.do(deed, service="smtp", **arguments)
    except MailbearerError as error:
        return error.code
    return "done"
