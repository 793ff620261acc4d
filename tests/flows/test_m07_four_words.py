"""M7: a token's status is one of four words, the same wherever it is shown."""

import re

from tests.flows.house import ANNA, WORDS, House, held, text


async def everywhere(house: House) -> str:
    """Return the word that deeds and the command line agree on."""
    word = await house.word()
    assert held(await house.do("service.show", service="smtp"), "token")["status"] == word
    shown = (await house.run("token", "status", "smtp")).out
    assert [each for each in WORDS if re.search(rf"Token  \S {each}$", shown, re.MULTILINE)] == [word]
    return word


async def test_m07_all_four_words_are_gone_through(house: House) -> None:
    seen = [await everywhere(house)]
    begun = await house.do("token.get", service="smtp", flow="device")
    seen.append(await everywhere(house))
    house.world.approve(text(held(begun, "pending"), "user_code"), ANNA)
    await house.do("token.wait", service="smtp")
    seen.append(await everywhere(house))
    house.world.revoke(ANNA)
    house.clock.set_forward(hours=2)
    assert "error" not in await house.send(ANNA)
    seen.append(await everywhere(house))
    assert tuple(seen) == WORDS


async def test_m07_code_that_ran_out_is_not_retrieved(house: House) -> None:
    await house.do("token.get", service="smtp", flow="device")
    house.clock.set_forward(hours=1)
    assert await house.word() == "Not Retrieved"
