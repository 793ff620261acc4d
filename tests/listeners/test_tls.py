import ssl
from pathlib import Path

import pytest

from mailbearer.errors import InvalidInputError
from mailbearer.listeners.desk import Encryption
from mailbearer.listeners.tls import Certificate, server_context
from tests.fakes import net_certificates
from tests.listeners.room import Peer, Room


def certificate() -> Certificate:
    net_certificates.server_context()
    return Certificate(min(net_certificates.folder().glob("server-*.pem")))


def client(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "old_devices", "greeted"),
    [
        (ssl.TLSVersion.TLSv1, True, True),
        (ssl.TLSVersion.TLSv1, False, False),
        (ssl.TLSVersion.TLSv1_1, False, False),
        (ssl.TLSVersion.TLSv1_2, False, True),
        (ssl.TLSVersion.TLSv1_3, True, True),
    ],
)
async def test_only_a_listener_for_old_devices_speaks_old_tls(
    version: ssl.TLSVersion, *, old_devices: bool, greeted: bool
) -> None:
    context = server_context(certificate(), old_devices=old_devices)
    async with Room().but(encryption=Encryption.IMPLICIT).open(context) as listener:
        if not greeted:
            with pytest.raises(ssl.SSLError):
                await Peer.connect(listener.port, client(version))
            return
        peer = await Peer.connect(listener.port, client(version))
        assert (await peer.reply()).startswith("220 ")
        await peer.close()


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(InvalidInputError) as caught:
            server_context(Certificate(path))
        assert caught.value.code == "MB-W05"
