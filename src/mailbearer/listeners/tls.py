"""TLS towards devices: the one place that makes their contexts, and encryption in memory without a transport.

The loops' own TLS transports cost 300 KiB (asyncio) or 50 KiB (uvloop) for each idle session, and cannot begin in the
middle of what has been read. Here OpenSSL works between two buffers, which it gives back when nothing is under way.
"""

import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailbearer.errors import InvalidInputError

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2 (RFC 9325 section 4.2); those of 1.3 are all good."""

OLD_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AES:@SECLEVEL=0"
"""For devices of before 2012, which know no others; level 0 because TLS 1.0 signs with SHA-1."""

RECORD: Final = 16_384
"""Octets of plaintext in a TLS record at most (RFC 8446 section 5.1)."""

_SLICE: Final = 2 * RECORD  # given to OpenSSL at once: its buffer never shrinks


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a certificate with its chain and of its key, which may be one."""

    chain: Path
    key: Path | None = None


def server_context(certificate: Certificate, *, old_devices: bool = False) -> ssl.SSLContext:
    """Return a context for listeners: TLS 1.2 or newer; with ``old_devices`` down to TLS 1.0, for named addresses only.

    Raises:
        InvalidInputError: the files cannot be read, or do not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1  # a device that reconnects for each page comes back without a new key exchange
    if old_devices:
        _lower(context)
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
    try:
        context.load_cert_chain(certificate.chain, certificate.key)
    except OSError as error:  # ssl.SSLError is one too
        problem = f"{certificate.chain} cannot be used ({error.strerror or 'no certificate with its key in it'})"
        raise InvalidInputError("MB-W05", field="certificate", problem=problem) from error
    return context


def _lower(context: ssl.SSLContext) -> None:
    import warnings  # noqa: PLC0415 - only where old devices are served

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is what was asked for
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers(OLD_CIPHERS)


class TlsLayer:
    """The server's end of one TLS session, in memory: wire bytes in, plaintext out, and the other way round.

    Whatever is to be sent, answers of the handshake included, goes to ``send`` at once.
    """

    __slots__ = ("_in", "_out", "_send", "_tls", "closed", "established")

    def __init__(self, context: ssl.SSLContext, send: Callable[[bytes], None]) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._send = send
        self.established = False
        self.closed = False  # the other side said that nothing more comes

    @property
    def version(self) -> str:
        """What was agreed on: ``TLSv1.3``, or empty before that."""
        return (self._tls.version() or "") if self.established else ""

    def receive(self, data: bytes) -> bytes:
        """Take ``data`` from the wire and return the plaintext in it, as far as it is complete.

        Raises:
            ssl.SSLError: it is no TLS, or there is nothing to agree on; the alert for it has been sent.
        """
        plain: list[bytes] = []
        for begin in range(0, len(data), _SLICE):
            self._in.write(data[begin : begin + _SLICE])
            try:
                self._read_into(plain)
            finally:
                self._flush()
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def write(self, data: bytes) -> None:
        """Send ``data``, encrypted."""
        for begin in range(0, len(data), RECORD):
            self._tls.write(data[begin : begin + RECORD])
        self._flush()

    def close(self) -> None:
        """Say that nothing more comes (RFC 8446 section 6.1), as far as the session got."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):  # the other side's own farewell is not waited for
                self._tls.unwrap()
            self._flush()

    def _read_into(self, plain: list[bytes]) -> None:
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while piece := self._tls.read(RECORD):
                plain.append(piece)
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True

    def _flush(self) -> None:
        if self._out.pending:
            self._send(self._out.read())
