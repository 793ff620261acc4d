import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbearer.listeners.own_certificate import LIFE, own_certificates
from mailbearer.listeners.tls import server_context
from tests.fakes.clock import START

NAMES = ("gate", "localhost", "127.0.0.1")


def test_they_are_made_once_and_again_before_they_end(tmp_path: Path) -> None:
    light, older = own_certificates(tmp_path / "c", NAMES, now=START)
    first = light.chain.read_bytes(), older.chain.read_bytes()
    assert [stat.S_IMODE(each.chain.stat().st_mode) for each in (light, older)] == [0o600, 0o600]
    own_certificates(tmp_path / "c", NAMES, now=START + LIFE / 2)
    assert (light.chain.read_bytes(), older.chain.read_bytes()) == first
    own_certificates(tmp_path / "c", NAMES, now=START + LIFE - timedelta(days=10))
    assert light.chain.read_bytes() != first[0]


def test_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    light, _ = own_certificates(tmp_path, NAMES, now=START)
    light.chain.write_text("nonsense")
    own_certificates(tmp_path, NAMES, now=START)
    assert b"CERTIFICATE" in light.chain.read_bytes()


def test_each_device_is_shown_the_one_that_it_knows(tmp_path: Path) -> None:
    light, older = own_certificates(tmp_path, NAMES, now=datetime.now(UTC))
    server = server_context(light)
    server.load_cert_chain(older.chain)
    for ciphers, file in (("ECDHE+ECDSA", light.chain), ("ECDHE+aRSA", older.chain)):
        client = ssl.create_default_context(cafile=file)
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(ciphers)
        _shake_hands(server, client)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done = [False, False]
    for _ in range(6):
        for number, end in enumerate(ends):
            if not done[number]:
                try:
                    end.do_handshake()
                    done[number] = True
                except ssl.SSLWantReadError:
                    continue
    assert done == [True, True]
