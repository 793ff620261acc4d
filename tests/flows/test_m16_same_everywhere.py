"""M16: every surface shows and does the same; here the command by itself, the command over a service, and the deeds."""

import asyncio
import json

from mailbearer.admin.speech import Json
from mailbearer.control.server import ControlServer
from tests.flows.house import House, until

ASKED: tuple[tuple[tuple[str, ...], str, dict[str, Json]], ...] = (
    (("service", "list"), "service.list", {}),
    (("service", "show", "smtp"), "service.show", {"service": "smtp"}),
    (("token", "status", "smtp"), "token.status", {"service": "smtp"}),
    (("provider", "show", "practice"), "provider.show", {"provider": "practice"}),
    (("queue", "list", "--all"), "queue.list", {"all": True}),
    (("received", "list"), "received.list", {}),
    (("audit", "list"), "audit.list", {}),
)


async def test_m16_commands_with_and_without_service_and_deeds_show_the_same(house: House) -> None:
    await house.get_token()
    await house.send("bob@practice.example")
    done = [await house.do(deed, **arguments) for _, deed, arguments in ASKED]
    alone = await asyncio.gather(*(house.run(*words, "--json") for words, _, _ in ASKED))
    async with asyncio.TaskGroup() as tasks:
        socket = house.app.store.folder.socket
        serving = tasks.create_task(ControlServer(socket, house.app.deeds, house.clock).serve())
        await until(socket.exists)
        served = await asyncio.gather(*(house.run(*words, "--json") for words, _, _ in ASKED))
        serving.cancel()
    for here, other, over in zip(done, alone, served, strict=True):
        assert json.loads(other.out) == json.loads(over.out) == here


async def test_m16_what_one_surface_does_the_other_shows(house: House) -> None:
    await house.run("service", "set", "smtp", "sender_name=Kopierer")
    assert "Kopierer" in str(await house.do("service.show", service="smtp"))
    await house.get_token()
    assert (await house.run("token", "access", "smtp")).out.strip() == (await house.do("token.access", service="smtp"))[
        "access_token"
    ]
    await house.run("token", "delete", "smtp", "--yes")
    assert await house.word() == "Not Retrieved"
