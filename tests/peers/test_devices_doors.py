"""Who gets in by which door: load balancers, old devices, wrong passwords, and nobody else."""

import subprocess
from collections.abc import Callable

import pytest

from tests.peers import programs
from tests.peers.gateway import BODY, KNOWN, PROXIED, WAYS, Gateway, Way
from tests.peers.machine import PATIENCE, until
from tests.peers.programs import Post

STARTTLS, IMPLICIT = Way("balanced", "starttls"), Way("balanced", "implicit")
REFUSED = 23  # swaks: MAIL was not accepted
NO_ANSWER = 21  # swaks: no greeting


def balanced(version: int, source: str) -> list[object]:
    """Return the words by which swaks says what a load balancer would."""
    family = "6" if ":" in source else "4"
    target = "2001:db8::1" if ":" in source else "192.0.2.1"
    words: list[object] = ["--proxy-version", version, "--proxy-source", source, "--proxy-source-port", 4711]
    words += ["--proxy-dest", target, "--proxy-dest-port", 25, "--local-interface", "127.0.0.1"]
    words += ["--proxy-family", f"TCP{family}"] if version == 1 else ["--proxy-family", f"AF_INET{family.strip('4')}"]
    return words if version == 1 else [*words, "--proxy-protocol", "STREAM", "--proxy-command", "PROXY"]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("source", [PROXIED, "2001:db8::31"])
@pytest.mark.parametrize("way", [STARTTLS, IMPLICIT], ids=lambda way: way.tls)
def test_a_load_balancer_says_who_connects(gateway: Gateway, version: int, source: str, way: Way) -> None:
    name = f"proxied-{version}-{len(source)}-{way.tls}"
    post = Post(way, f"{name}@test.example", gateway.letter(f"{name}@test.example", name), "proxied")
    gateway.run(*programs.swaks(gateway, post), *balanced(version, source))
    content = gateway.arrived(post.recipient)[name]
    assert content.endswith(post.letter.read_bytes())
    assert source.encode() in content.split(b"(Mailbearer ")[0].rsplit(b"Received:", 1)[1]


def test_a_load_balancer_cannot_make_a_stranger_known(gateway: Gateway) -> None:
    post = Post(STARTTLS, "stranger@test.example", gateway.letter("stranger@test.example", "stranger"), "proxied")
    out = gateway.run(*programs.swaks(gateway, post), *balanced(2, "192.0.2.32"), code=REFUSED)
    assert "530 5.7.0 " in out


def test_only_a_load_balancer_is_believed(gateway: Gateway) -> None:
    way = Way("starttls", "starttls")
    post = Post(way, "liar@test.example", gateway.letter("liar@test.example", "liar"), "proxied")
    command = [str(word) for word in (*programs.swaks(gateway, post), *balanced(1, PROXIED))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode != 0
    assert "liar" not in gateway.history("known")


def test_curl_behind_a_load_balancer_signs_in(gateway: Gateway) -> None:
    way = Way("balanced", "starttls", "PLAIN")
    post = Post(way, "curl-balanced@test.example", gateway.letter("curl-balanced@test.example", "curl-balanced"))
    gateway.run(*programs.curl(gateway, post), "--haproxy-protocol")
    assert gateway.arrived(post.recipient)["curl-balanced"].endswith(BODY)


# -- old devices -----------------------------------------------------------------------------------------------------


def old_curl(gateway: Gateway, post: Post, version: str, ciphers: str = "DEFAULT") -> list[object]:
    """Return the command line for a curl that knows nothing newer than TLS ``version``, and checks no certificate."""
    words = [*programs.curl(gateway, post), "-v", "--insecure", f"--tlsv{version}", "--tls-max", version]
    return [*words, "--ciphers", f"{ciphers}:@SECLEVEL=0"]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(
    ("version", "ciphers"), [("1.0", "AES128-SHA"), ("1.0", "ECDHE-ECDSA-AES256-SHA"), ("1.1", "DEFAULT")]
)
def test_old_encryption_is_for_the_listener_of_old_devices(
    gateway: Gateway, tls: str, version: str, ciphers: str
) -> None:
    name = f"old-{tls}-{version}-{ciphers.lower()}"
    post = Post(Way("old", tls, "LOGIN"), f"{name}@test.example", gateway.letter(f"{name}@test.example", name))
    out = gateway.run(*old_curl(gateway, post, version, ciphers))
    assert f"SSL connection using TLSv{version.removesuffix('.0')} / " in out
    assert gateway.arrived(post.recipient)[name].endswith(post.letter.read_bytes())


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_old_encryption_is_refused_elsewhere_and_told(gateway: Gateway, tls: str) -> None:
    post = Post(Way("both", tls, "LOGIN"), "too-old@test.example", gateway.letter("too-old@test.example", "too-old"))
    gateway.run(*old_curl(gateway, post, "1.0"), code=35)  # no connection by TLS
    until(lambda: "MB-G05" in gateway.service.log)
    assert "too-old" not in gateway.history("nas")


def test_new_devices_have_new_encryption_with_the_listener_of_old_ones(gateway: Gateway) -> None:
    post = Post(Way("old", "starttls", "PLAIN"), "newer@test.example", gateway.letter("newer@test.example", "newer"))
    out = gateway.run(*programs.curl(gateway, post), "-v", "--insecure")
    assert "SSL connection using TLSv1.3 / " in out


def test_nobody_else_gets_to_the_listener_of_old_devices(gateway: Gateway) -> None:
    post = Post(Way("old", "none"), "fenced@test.example", gateway.letter("fenced@test.example", "fenced"))
    out = gateway.run(*programs.swaks(gateway, post), "--local-interface", "127.0.0.3", code=NO_ANSWER)
    assert "554 5.7.1 " in out


def test_the_certificate_that_is_made_is_one_to_load_into_devices(gateway: Gateway) -> None:
    (certificate,) = (gateway.machine.folder / "certificates").glob("*ec*.pem")
    loaded = gateway.home / "loaded.pem"
    loaded.write_text("-----BEGIN CERT" + certificate.read_text().split("-----BEGIN CERT", 1)[1])
    post = Post(Way("old", "starttls", "PLAIN"), "loaded@test.example", gateway.letter("loaded@test.example", "loaded"))
    gateway.run(*programs.curl(gateway, post), "--cacert", loaded)
    assert gateway.arrived(post.recipient)["loaded"].endswith(BODY)


# -- nobody else -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["starttls", "both", "clear", "old", "balanced"])
def test_nobody_sends_without_signing_in(gateway: Gateway, listener: str) -> None:
    post = Post(Way(listener, "none"), "relay@test.example", gateway.letter("relay@test.example", "relay"))
    words = ["--local-interface", "127.0.0.1"]
    if listener == "balanced":
        words = [str(word) for word in balanced(1, "198.51.100.7")]
    out = gateway.run(*programs.swaks(gateway, post), *words, code=REFUSED)
    assert "530 5.7.0 " in out


def test_a_device_that_is_known_sends_without(gateway: Gateway) -> None:
    post = Post(Way("clear", "none"), "known@test.example", gateway.letter("known@test.example", "known"))
    assert post.way.source == KNOWN
    programs.swaks_sends(gateway, post)
    assert gateway.arrived(post.recipient)["known"].endswith(BODY)


@pytest.mark.parametrize(
    ("command", "code"),
    [(programs.swaks, 28), (programs.msmtp, 77), (programs.curl, 67)],
    ids=["swaks", "msmtp", "curl"],
)
def test_a_wrong_password_is_told_by_every_program(
    gateway: Gateway, command: Callable[[Gateway, Post], list[object]], code: int
) -> None:
    wrong = Gateway(gateway.machine, gateway.service, dict.fromkeys(gateway.passwords, "wrong-password"))
    post = Post(WAYS[0], "wrong@test.example", gateway.letter("wrong@test.example", "wrong"))
    out = gateway.run(*command(wrong, post), stdin=post.letter.read_bytes(), code=code)
    assert "535 5.7.8 " in out or "Login denied" in out
    assert "wrong" not in gateway.history("nas")


def test_no_password_is_taken_without_encryption(gateway: Gateway) -> None:
    post = Post(Way("starttls", "none", "LOGIN"), "bare@test.example", gateway.letter("bare@test.example", "bare"))
    out = gateway.run(*programs.swaks(gateway, post), code=28)  # no mechanism is offered
    assert "250-AUTH" not in out
