"""The certificates that listeners show as long as nobody gave them others: signed by themselves, made at the start.

One has an elliptic-curve key, which costs little; the other an RSA key, for devices of before 2015 that know nothing
else. OpenSSL shows each device the one that it can use.
"""

import contextlib
import ipaddress
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailbearer.errors import StoreError
from mailbearer.listeners.tls import Certificate

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
LIFE: Final = timedelta(days=3650)
"""Ten years: it is loaded into devices by hand, and no browser sees it."""

RENEWED_BEFORE: Final = timedelta(days=30)
_BEGINS: Final = timedelta(days=1)  # the clocks of devices are wrong
RSA_BITS: Final = 2048


def own_certificates(folder: Path, names: tuple[str, ...], *, now: datetime) -> tuple[Certificate, Certificate]:
    """Return the certificates in ``folder``, made for ``names`` if they are not there or end soon.

    Beside each ``.pem`` is a ``.crt`` without its key, to be loaded into devices.

    Raises:
        StoreError: MB-D01, the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return (
            _ensure(folder / "own-ec.pem", names, now, lambda: ec.generate_private_key(ec.SECP256R1())),
            _ensure(folder / "own-rsa.pem", names, now, lambda: rsa.generate_private_key(65537, RSA_BITS)),
        )
    except OSError as error:
        raise StoreError("MB-D01", path=folder, reason=error.strerror or "unusable") from error


def _ensure(path: Path, names: tuple[str, ...], now: datetime, make_key: Callable[[], Key]) -> Certificate:
    with contextlib.suppress(FileNotFoundError, ValueError):
        held = x509.load_pem_x509_certificate(path.read_bytes())
        if held.not_valid_after_utc - now > RENEWED_BEFORE:
            if not path.with_suffix(".crt").exists():
                _write(path.with_suffix(".crt"), held.public_bytes(serialization.Encoding.PEM))
            return Certificate(path)
    public, private = _made(make_key(), names, now)
    _write(path, public + private)
    _write(path.with_suffix(".crt"), public)
    return Certificate(path)


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def _made(key: Key, names: tuple[str, ...], now: datetime) -> tuple[bytes, bytes]:
    """Return a certificate and its key."""
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=isinstance(key, rsa.RSAPrivateKey),
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEGINS)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
