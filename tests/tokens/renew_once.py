"""Renews the token of a service in a process of its own: ``python -m tests.tokens.renew_once FOLDER PORTS``."""

import asyncio
import json
import sys
from pathlib import Path

from mailbearer.clock import SystemClock
from mailbearer.net.http import HttpClient
from mailbearer.practice.provider import Ports, practice_provider
from tests.tokens.room import SMTP, opened


async def renew_once(folder: Path, ports: Ports) -> None:
    async with opened(folder, SystemClock(), HttpClient()) as room:
        room.party.provider, room.party.registration = practice_provider(ports, folder / "none.pem")
        room.party.registration = type(room.party.registration)("practice", room.party.registration.client_id)
        print("open", flush=True)
        sys.stdin.readline()
        grant = await room.renewals.renew(SMTP.id)
        print(grant.version, flush=True)


if __name__ == "__main__":
    asyncio.run(renew_once(Path(sys.argv[1]), Ports(**json.loads(sys.argv[2]))))
