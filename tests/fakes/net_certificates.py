"""Certificates for servers in tests: a good one, and one for every way to be wrong. Made once for each test process."""

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
GOOD = "Harbour Clinic Test CA"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certification authority; ``ca_file`` is what a client must be given to trust it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    ca_file: str


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])


def _write(folder: Path, name: str, *parts: bytes) -> str:
    path = folder / name
    path.write_bytes(b"".join(parts))
    return str(path)


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="mailbearer-certificates-"))


@cache
def authority(title: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(_name(title)).issuer_name(_name(title))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - 30 * DAY).not_valid_after(now + 30 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made = builder.sign(key, hashes.SHA256())
    path = _write(folder(), f"{title.replace(' ', '-')}.pem", made.public_bytes(serialization.Encoding.PEM))
    return Authority(key, made, path)


@cache
def server_context(
    name: str = "localhost",
    *,
    begins: int = -2,
    ends: int = 20,
    by: str = GOOD,
) -> ssl.SSLContext:
    """Return a server's context; its certificate is for ``name`` (and 127.0.0.1), valid from and to days from now."""
    issuer = authority(by)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = x509.CertificateBuilder().subject_name(_name("Test server")).issuer_name(issuer.certificate.subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + begins * DAY).not_valid_after(now + ends * DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(issuer_id, critical=False)
    made = builder.sign(issuer.key, hashes.SHA256())
    pem, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    private = key.private_bytes(encoding, pem, serialization.NoEncryption())
    path = _write(folder(), f"server-{made.serial_number}.pem", made.public_bytes(encoding), private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def ca_file() -> str:
    """Return the file of the authority that signs the good certificates."""
    return authority(GOOD).ca_file
