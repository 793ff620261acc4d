"""Passwords that a person chose: argon2id, on one thread of its own, so that nobody else waits for it.

The library leaves the interpreter to others while it computes. More than ``WAITING_MAX`` computations are not put in
line: who comes then is asked to come again. What was right is remembered for ``REMEMBERED_SECONDS``, by a keyed hash.
"""

import asyncio
import functools
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError
from mailbearer.model.secret import Secret

WAITING_MAX: Final = 8
"""Computations in line, at 60 ms each half a second: less than a refused sign-in takes anyhow."""

REMEMBERED_SECONDS: Final = 600.0
"""How long a password that was right need not be computed again: a device signs in for each page."""

REMEMBERED_MAX: Final = 1_000
_MEMORY_KIB: Final = 47_104  # 46 MiB, one pass, one lane: OWASP ASVS 5.0 appendix C
T = TypeVar("T")


class PasswordHashing:
    """Makes and checks argon2id strings."""

    def __init__(self, clock: Clock, *, memory_kib: int = _MEMORY_KIB) -> None:
        self._clock = clock
        self._hasher = PasswordHasher(time_cost=1, memory_cost=memory_kib, parallelism=1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="argon2id")
        self._waiting = 0
        self._nobody: bytes | None = None
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._key = secrets.token_bytes(32)

    @property
    def busy(self) -> bool:
        """No more can be put in line now."""
        return self._waiting >= WAITING_MAX

    async def hash(self, password: Secret) -> bytes:
        """Return what is kept of ``password``.

        Raises:
            ConflictError: MB-W02, too much is in line.
        """
        kept = await self._in_line(functools.partial(self._hasher.hash, _octets(password)))
        return kept.encode()

    async def fits(self, password: Secret, kept: bytes) -> bool:
        """Tell whether ``password`` is the one of which ``kept`` was kept.

        Raises:
            ConflictError: MB-W02, too much is in line.
        """
        right = await self._in_line(functools.partial(self._verify, kept, _octets(password)))
        if right:
            self._right[self._mark(password, kept)] = self._clock.monotonic() + REMEMBERED_SECONDS
            if len(self._right) > REMEMBERED_MAX:
                self._right.popitem(last=False)
        return right

    def was_right(self, password: Secret, kept: bytes) -> bool:
        """Tell whether ``fits`` said yes to this lately; takes no time."""
        return self._right.get(self._mark(password, kept), 0.0) > self._clock.monotonic()

    async def fits_nobody(self, password: Secret) -> None:
        """Take as long as ``fits`` does: for a user name that nobody has.

        Raises:
            ConflictError: MB-W02, too much is in line.
        """
        if self._nobody is None:
            self._nobody = await self.hash(Secret("a password that nobody has"))
        await self.fits(password, self._nobody)

    def close(self) -> None:
        """Compute nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_line(self, work: Callable[[], T]) -> T:
        if self.busy:
            raise ConflictError("MB-W02")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    def _mark(self, password: Secret, kept: bytes) -> bytes:
        return hashlib.blake2b(kept + b"\0" + _octets(password), key=self._key).digest()

    def _verify(self, kept: bytes, password: bytes) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False


def _octets(password: Secret) -> bytes:
    return password.reveal().encode("utf-8", "surrogatepass")
