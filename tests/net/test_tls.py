"""The one context that everything uses."""

import re
import shutil
import ssl
from pathlib import Path

from mailbearer.net import tls
from tests.fakes.net_certificates import ca_file

SOURCES = Path(tls.__file__).parents[1]


def test_nobody_else_makes_a_client_context() -> None:
    makes = re.compile(r"create_default_context|PROTOCOL_TLS_CLIENT|CERT_NONE|check_hostname|_unverified_context")
    found = [str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.py") if makes.search(path.read_text())]
    assert found == ["net/tls.py"]


def test_only_servers_of_the_practice_make_other_contexts() -> None:
    found = [path for path in SOURCES.rglob("*.py") if "ssl.SSLContext(" in path.read_text()]
    assert all("PROTOCOL_TLS_SERVER" in path.read_text() for path in found)


def test_old_versions_and_weak_ciphers_are_off() -> None:
    context = tls.client_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert all(name.startswith(("TLS_", "ECDHE-")) and ("GCM" in name or "CHACHA20" in name) for name in names)


def test_a_context_is_made_once_until_its_file_changes(tmp_path: Path) -> None:
    own = tmp_path / "ca.pem"
    shutil.copy(ca_file(), own)
    first = tls.client_context(str(own))
    assert tls.client_context(str(own)) is first
    import os

    os.utime(own, (1, 1))
    assert tls.client_context(str(own)) is not first
    assert tls.client_context() is tls.client_context()
