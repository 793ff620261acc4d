"""M9: while a token exists, provider and account change only together with its deletion."""

import pytest

from mailbearer.errors import MailbearerError
from tests.flows.house import ANNA, BOB, House, held


@pytest.mark.parametrize("waiting", [False, True])
async def test_m09_change_is_refused_with_the_advice_to_delete(house: House, waiting: bool) -> None:
    if waiting:
        await house.do("token.get", service="smtp", flow="device")
    else:
        await house.get_token()
    word = await house.word()
    for values in ({"account": BOB}, {"provider": "google"}, {"timeout": "44s", "account": BOB}):
        with pytest.raises(MailbearerError, match="MB-T45"):
            await house.do("service.set", service="smtp", values={**values})
    settings = held(await house.do("service.show", service="smtp"), "settings")
    assert (settings["account"], settings["provider"], settings["timeout"]) == (ANNA, "practice", "1m")
    assert await house.word() == word
    await house.do("service.set", service="smtp", values={"timeout": "44s"})
    done = await house.run("service", "set", "smtp", f"account={BOB}", "--delete-token")
    assert BOB in done.out
    assert await house.word() == "Not Retrieved"
    assert (await house.get_token(account=BOB))["account"] == BOB
