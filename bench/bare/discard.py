"""``python discard.py PORT``: our listener with an intake that throws away what it is given."""

import asyncio
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime

import uvloop

from mailbearer.clock import SystemClock
from mailbearer.listeners.desk import Desk, Encryption, ListenerOptions
from mailbearer.listeners.listener import listening
from mailbearer.model.device import Device, DeviceId, FromPolicy
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.sending.from_policy import Sender

DEVICE = Device(DeviceId("copier"), "Copier", ServiceId("smtp"), by_address=True, from_policy=FromPolicy.AS_IS)
BEGAN = datetime.now(UTC)


class Devices:
    """Everybody is the one device."""

    async def check(self, user: str, password: Secret, address: str) -> Device | None:  # noqa: ARG002 - the shape of the protocol
        return DEVICE

    def known(self, address: str) -> Device | None:  # noqa: ARG002 - the shape of the protocol
        return DEVICE

    def current(self, device: DeviceId) -> Device | None:  # noqa: ARG002 - the shape of the protocol
        return DEVICE


class Discarded:
    """One message."""

    def __init__(self) -> None:
        self._size = 0

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        self._size += len(chunk)
        return None

    def commit(self, envelope: Envelope) -> Awaitable[QueuedMessage]:
        done: asyncio.Future[QueuedMessage] = asyncio.get_running_loop().create_future()
        done.set_result(
            QueuedMessage(
                *(MessageId("discarded"), ServiceId("smtp"), envelope, self._size, "", "", MessageState.ACCEPTED),
                *(BEGAN, None, 0, ()),
            )
        )
        return done

    async def abort(self) -> None:
        """Nothing is kept."""


class Nowhere:
    """The intake."""

    def begin(self, service: ServiceId, *, device: str, size_hint: int) -> Discarded:  # noqa: ARG002 - the shape of the protocol
        return Discarded()


async def main(port: int) -> None:
    """Listen until killed."""
    desk = Desk(
        ListenerOptions("bench.example", port=port, encryption=Encryption.NONE),
        authenticator=Devices(),
        intake=Nowhere(),
        sender_of=lambda _: Sender("", ""),
        clock=SystemClock(),
    )
    async with listening(desk, SystemClock()):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
