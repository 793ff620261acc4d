"""M6: Get Token asks first; nothing happens before [OK], and [Cancel] leaves everything as it was."""

import asyncio
import os
import pty

import pytest

from mailbearer.errors import MailbearerError
from tests.flows.house import ANNA, COMMAND, House, held, text, until


async def typed(house: House, *words: str, keys: str) -> tuple[int, str]:
    """Run the command in a terminal where a person types ``keys``; return its exit code and what stood there."""
    control, terminal = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *words,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={"PATH": os.environ["PATH"], "MAILBEARER_DATA": str(house.folder), "TERM": "dumb"},
        )
    finally:
        os.close(terminal)
    os.write(control, keys.encode())
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                shown.extend(os.read(control, 4096))
            except OSError:  # the terminal was closed by its last user
                return

    async with asyncio.timeout(20):
        await asyncio.to_thread(read)
        code = await process.wait()
    os.close(control)
    return code, shown.decode(errors="replace")


async def test_m06_nothing_happens_without_ok(house: House) -> None:
    before = await house.do("service.list")
    assert "MB-T53" in (await house.run("token", "get", "smtp", code=1)).err
    code, shown = await typed(house, "token", "get", "smtp", keys="n\n")
    assert (code, "Get a token for" in shown, ANNA in shown, "Nothing was changed" in shown) == (1, True, True, True)
    assert house.world.journal == []
    assert await house.do("service.list") == before


async def test_m06_ok_shows_code_and_qr_and_waits(house: House) -> None:
    async with asyncio.TaskGroup() as tasks:
        terminal = tasks.create_task(typed(house, "token", "get", "smtp", "--flow", "device", keys="y\n"))
        await until(lambda: any(entry.endpoint == "/device_authorization" for entry in house.world.journal))
        facts = await house.token()
        while facts["sign_in"] is None:
            facts = await house.token()
        assert facts["status"] == "Waiting for authorization"
        house.world.approve(text(held(facts, "sign_in"), "user_code"), ANNA)
        code, shown = await terminal
    assert code == 0
    assert text(held(facts, "sign_in"), "user_code") in shown
    assert "▄" in shown or "█" in shown, "a QR code"
    assert await house.word() == "Retrieved"


async def test_m06_sign_in_by_login_page_goes_on_after_the_code_way_was_refused(house: House) -> None:
    begun = await house.do("token.get", service="smtp", flow="device")
    house.world.deny(text(held(begun, "pending"), "user_code"))
    with pytest.raises(MailbearerError, match="MB-T03"):
        await house.do("token.wait", service="smtp")
    assert await house.word() == "Not Retrieved"
    assert (await house.get_token())["status"] == "Retrieved"


async def test_m06_held_token_stays_in_use_until_the_new_one_is_complete(house: House) -> None:
    await house.get_token()
    first = await house.do("token.access", service="smtp")
    begun = await house.do("token.get", service="smtp", flow="code")
    assert begun["status"] == "Waiting for authorization"
    assert await house.do("token.access", service="smtp") == first
    await house.do("token.cancel", service="smtp")
    assert await house.word() == "Retrieved"
    begun = await house.do("token.get", service="smtp", flow="code")
    back = house.world.authorize(text(held(begun, "pending"), "authorization_url"), "eve@practice.example")
    with pytest.raises(MailbearerError) as refused:
        await house.do("token.redirect", service="smtp", url=back)
    assert (refused.value.code, "eve@practice.example" in refused.value.hint) == ("MB-T06", True)
    assert await house.do("token.access", service="smtp") == first
    await house.get_token()
    assert await house.do("token.access", service="smtp") != first
