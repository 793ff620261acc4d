"""A certification authority for this machine alone, and the certificate of its practice mail servers.

The authority's key is never written down, and the authority may vouch for the loopback interface only (RFC 5280 section
4.2.1.10): trusting it puts nothing else at risk.
"""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailbearer.practice.files import write_file

HOST = "localhost"
NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)  # long ago: who checks it may live by another clock than who made it
LIFETIME = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=30)

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_ADDRESSES = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


def server_context(folder: Path, now: datetime) -> ssl.SSLContext:
    """Return a server's TLS settings with the certificate in ``folder``, made anew when it is missing or runs out."""
    if not _usable(folder, now):
        _make(folder, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def ca_file(folder: Path) -> Path:
    """Return where the authority's certificate lies: what clients must trust."""
    return folder / "ca.pem"


def _usable(folder: Path, now: datetime) -> bool:
    if not all((folder / name).exists() for name in ("ca.pem", "server.pem", "server.key")):
        return False
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    return now < certificate.not_valid_after_utc - RENEW_BEFORE


def _make(folder: Path, now: datetime) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mailbearer practice, this machine only")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    ca = _authority(_blank(ca_name, now).issuer_name(ca_name).public_key(ca_key.public_key()), ca_key)
    server = _server(_blank(name, now).issuer_name(ca_name).public_key(key.public_key()), ca_key, key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_file(folder / "server.key", private)
    write_file(folder / "server.pem", server.public_bytes(serialization.Encoding.PEM), mode=0o644)
    write_file(ca_file(folder), ca.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _blank(name: x509.Name, now: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).serial_number(x509.random_serial_number())
    return builder.not_valid_before(NOT_BEFORE).not_valid_after(now + LIFETIME)


def _authority(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    allowed = [x509.DNSName(HOST), *(x509.IPAddress(network) for network in _LOOPBACK)]
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.NameConstraints(allowed, None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256())


def _server(
    builder: x509.CertificateBuilder, ca_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [x509.DNSName(HOST), *(x509.IPAddress(address) for address in _ADDRESSES)]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.add_extension(issuer, critical=False).sign(ca_key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
