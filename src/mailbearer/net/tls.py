"""TLS towards other servers: the one place that makes a client context, and what its failures mean.

Defaults follow RFC 9325 and RFC 8997: TLS 1.2 or newer, forward secrecy and authenticated ciphers only. The chain and
the name are always verified; there is no switch for it. A private authority is added by its file.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

from mailbearer.errors import ConnectError, InvalidInputError
from mailbearer.net.route import Route

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED, openssl/x509_vfy.h
NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID
WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH

_contexts: dict[tuple[str, int], ssl.SSLContext] = {}


def client_context(ca_file: str = "") -> ssl.SSLContext:
    """Return the context for connections to servers; the same one until ``ca_file`` changes.

    Raises:
        InvalidInputError: ``ca_file`` cannot be read or holds no certificate.
    """
    try:
        key = (ca_file, Path(ca_file).stat().st_mtime_ns if ca_file else 0)
        if key not in _contexts:
            for stale in [known for known in _contexts if known[0] == ca_file]:
                del _contexts[stale]
            _contexts[key] = _new_context(ca_file)
        return _contexts[key]
    except OSError as error:  # ssl.SSLError, which a file without certificates gives, is one too
        problem = f"{ca_file} cannot be used ({error.strerror or 'no certificate in it'})"
        raise InvalidInputError("MB-W05", field="CA file", problem=problem) from error


def _new_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may hold an intermediate, or the server's own
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a person wants to know of a server's certificate. Times are aware, in UTC."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime


class _Unverified(Protocol):
    def get_info(self) -> Mapping[str, object]: ...


def certificate_of(tls: ssl.SSLObject) -> Certificate | None:
    """Return the other side's certificate, also after a handshake that it made fail; None when there is none."""
    try:
        found = tls.getpeercert()
        return _read_certificate(found) if found else None
    except ValueError:  # the handshake did not get to its end
        return _refused_certificate(tls)


def _refused_certificate(tls: ssl.SSLObject) -> Certificate | None:
    # Public as SSLObject.get_unverified_chain() only since Python 3.13, which gives bytes; this gives the fields.
    try:
        chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        return _read_certificate(cast("list[_Unverified]", chain)[0].get_info())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None  # the error is then told without these particulars


def _read_certificate(found: Mapping[str, object]) -> Certificate:
    issuer = _names(found.get("issuer", ()))
    subject = _names(found.get("subject", ()))
    alternatives = cast("tuple[tuple[str, str], ...]", found.get("subjectAltName", ()))
    names = tuple(value for kind, value in alternatives if kind in {"DNS", "IP Address"})
    return Certificate(
        names=names or tuple(subject.get("commonName", "").split()),
        issuer=issuer.get("organizationName") or issuer.get("commonName") or "nobody",
        not_before=_time(found["notBefore"]),
        not_after=_time(found["notAfter"]),
    )


def _names(distinguished: object) -> dict[str, str]:
    parts = cast("tuple[tuple[tuple[str, str], ...], ...]", distinguished)  # the shape that the ssl module gives
    return {name: value for part in parts for name, value in part}


def _time(text: object) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)


def explain(error: ssl.SSLError, tls: ssl.SSLObject, route: Route, now: datetime) -> ConnectError:
    """Return our error for a failed handshake: whose certificate is wrong, and how, or what else did not fit."""
    host, port = route.host, route.port
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError(route.code(10), host=host, port=port, problem=handshake_problem(error))
    found, detail = certificate_of(tls), error.verify_message
    if error.verify_code in {EXPIRED, NOT_YET_VALID}:
        return ConnectError(route.code(7), host=host, now=_day(now), detail=detail, **_validity(found))
    if error.verify_code in WRONG_NAME:
        names = ", ".join(found.names) if found else ""
        return ConnectError(route.code(8), host=host, names=names, detail=detail)
    problem = f'issued by "{found.issuer}", which is not trusted' if found else detail
    return ConnectError(route.code(6), host=host, problem=problem, detail=detail)


def _validity(found: Certificate | None) -> dict[str, str]:
    return {"not_before": _day(found.not_before), "not_after": _day(found.not_after)} if found else {}


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


SPEAKS_CLEARLY = "it does not begin with encryption on this port: choose STARTTLS"
_PROBLEMS = {
    "WRONG_VERSION_NUMBER": SPEAKS_CLEARLY,
    "RECORD_LAYER_FAILURE": SPEAKS_CLEARLY,
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks an older TLS only",
    "UNSUPPORTED_PROTOCOL": "it speaks an older TLS only",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "no cipher in common",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection during the handshake",
}


def handshake_problem(error: ssl.SSLError) -> str:
    """Return in a few words what went wrong in a handshake that was not about the certificate."""
    reason = error.reason or ("UNEXPECTED_EOF_WHILE_READING" if isinstance(error, ssl.SSLEOFError) else "")
    return _PROBLEMS.get(reason) or reason.replace("_", " ").lower() or "the handshake failed"
