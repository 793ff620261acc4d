"""Programs that others wrote, each told to send a letter in a given way. What they cannot do is not in their table."""

import json
import shutil
import smtplib
import ssl
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.gateway import Gateway, Way
from tests.peers.machine import ACCOUNT
from tests.peers.stack.children import PATH, required
from tests.peers.stack.servers import NODE_MODULES, node

CLIENTS = Path(__file__).parent / "clients"
JAVA = ("/usr/share/java/javax.mail.jar", "/usr/share/java/javax.activation.jar")
PHPMAILER = Path("/usr/share/php/libphp-phpmailer")


@dataclass(frozen=True, slots=True)
class Post:
    """One letter that is to be sent."""

    way: Way
    recipient: str
    letter: Path
    device: str = "nas"


def program(name: str) -> str:
    """Return where a program is; without it the test is skipped, or fails where nothing may be skipped."""
    found = shutil.which(name, path=PATH)
    if found is None:
        absent(name)
    return found or ""


def absent(name: str) -> None:
    """Skip or fail."""
    why = f"{name} is not here: tools/setup peers"
    if required():
        pytest.fail(why)
    pytest.skip(why)


def smtplib_sends(gateway: Gateway, post: Post) -> None:
    """Python's own client."""
    way, port = post.way, gateway.port(post.way.listener)
    context = ssl.create_default_context(cafile=str(gateway.ca_file))
    source = (way.source, 0)
    if way.tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", port, context=context, source_address=source)
    else:
        client = smtplib.SMTP("localhost", port, source_address=source)
    with client:
        if way.tls == "starttls":
            client.starttls(context=context)
        client.ehlo()
        if way.mechanism:
            client.user, client.password = post.device, gateway.passwords[post.device]
            client.auth(way.mechanism, client.auth_login if way.mechanism == "LOGIN" else client.auth_plain)
        client.sendmail(ACCOUNT, [post.recipient], post.letter.read_bytes(), mail_options=["BODY=8BITMIME"])


def swaks_sends(gateway: Gateway, post: Post) -> None:
    """The Swiss Army Knife for SMTP."""
    gateway.run(*swaks(gateway, post))


def swaks(gateway: Gateway, post: Post) -> list[object]:
    """Return the command line for swaks."""
    way = post.way
    words: list[object] = [program("swaks"), "--server", "127.0.0.1", "--port", gateway.port(way.listener)]
    unended = post.letter.with_suffix(".swaks")  # it adds a line end of its own
    unended.write_bytes(post.letter.read_bytes().removesuffix(b"\r\n"))
    words += ["--local-interface", way.source, "--from", ACCOUNT, "--to", post.recipient, "--data", f"@{unended}"]
    if way.mechanism:
        words += ["--auth", way.mechanism, "--auth-user", post.device]
        words += ["--auth-password", gateway.passwords[post.device]]
    if way.tls != "none":
        words += ["--tls" if way.tls == "starttls" else "--tls-on-connect", "--tls-verify"]
        words += ["--tls-ca-path", gateway.ca_file]
    return words


def msmtp_sends(gateway: Gateway, post: Post) -> None:
    """The usual stand-in for sendmail on small machines."""
    gateway.run(*msmtp(gateway, post), stdin=post.letter.read_bytes())


def msmtp(gateway: Gateway, post: Post) -> list[object]:
    """Write the settings of msmtp and return its command line."""
    way = post.way
    lines = [
        "account default",
        "host localhost",
        f"port {gateway.port(way.listener)}",
        f"source_ip {way.source}",
        f"from {ACCOUNT}",
        f"auth {way.mechanism.lower() or 'off'}",
        f"user {post.device}",
        f"password {gateway.passwords[post.device]}",
        f"tls {'off' if way.tls == 'none' else 'on'}",
        f"tls_starttls {'on' if way.tls == 'starttls' else 'off'}",
        f"tls_trust_file {gateway.ca_file}",
    ]
    settings = gateway.home / "msmtprc"
    settings.touch(mode=0o600)
    settings.write_text("\n".join(lines) + "\n")
    return [program("msmtp"), "-C", settings, post.recipient]


def curl_sends(gateway: Gateway, post: Post) -> None:
    """curl, which scripts use."""
    gateway.run(*curl(gateway, post))


def curl(gateway: Gateway, post: Post) -> list[object]:
    """Return the command line for curl."""
    way = post.way
    scheme = "smtps" if way.tls == "implicit" else "smtp"
    words: list[object] = [program("curl"), "-sS", "--url", f"{scheme}://127.0.0.1:{gateway.port(way.listener)}"]
    words += ["--interface", way.source, "--mail-from", ACCOUNT, "--mail-rcpt", post.recipient]
    words += ["--upload-file", post.letter, "--cacert", gateway.ca_file]
    if way.tls == "starttls":
        words.append("--ssl-reqd")
    if way.mechanism:
        words += ["--user", f"{post.device}:{gateway.passwords[post.device]}"]
        words += ["--login-options", f"AUTH={way.mechanism}"]
    return words


def _table(gateway: Gateway, posts: list[Post]) -> bytes:
    """Return ``posts`` as the programs in ``clients/`` read them: a line each, its fields with tabs between them."""
    lines = [
        (
            str(gateway.port(post.way.listener)),
            post.way.tls,
            post.way.mechanism,
            post.device,
            gateway.passwords[post.device],
            post.way.source,
            ACCOUNT,
            post.recipient,
            str(post.letter),
        )
        for post in posts
    ]
    return "".join("\t".join(line) + "\n" for line in lines).encode()


def nodemailer_sends(gateway: Gateway, posts: list[Post]) -> None:
    """The library of most applications for Node.js."""
    if not (NODE_MODULES / "nodemailer").is_dir():
        absent("Nodemailer")
    library = NODE_MODULES / "nodemailer/dist/esm/nodemailer.js"
    gateway.run(node(), CLIENTS / "nodemailer.mjs", library, gateway.ca_file, stdin=_table(gateway, posts))


def php_mailer_sends(gateway: Gateway, posts: list[Post]) -> None:
    """PHPMailer, which WordPress and many others have in them; it composes for itself, with the scan attached."""
    if not PHPMAILER.is_dir():
        absent("PHPMailer")
    words = (program("php"), CLIENTS / "phpmailer.php", PHPMAILER, gateway.ca_file, gateway.scan())
    gateway.run(*words, stdin=_table(gateway, posts))


def java_mail_sends(gateway: Gateway, posts: list[Post]) -> None:
    """JavaMail, which is in ERP systems, Jenkins, Jira."""
    if not all(Path(each).exists() for each in JAVA):
        absent("JavaMail")
    quick = ("-Djava.net.preferIPv4Stack=true", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", ":".join(JAVA))
    gateway.run(program("java"), *quick, CLIENTS / "JavaMail.java", gateway.ca_file, stdin=_table(gateway, posts))


def s_nail_sends(gateway: Gateway, post: Post) -> None:
    """A mail command; it composes for itself, with the scan attached, and its sender is DEVICE@device.example."""
    way = post.way
    scheme = "smtps" if way.tls == "implicit" else "smtp"
    who = f"{post.device}:{urllib.parse.quote(gateway.passwords[post.device])}@" if way.mechanism else ""
    settings = {
        "v15-compat": "yes",
        "mta": f"{scheme}://{who}localhost:{gateway.port(way.listener)}",
        "smtp-auth": way.mechanism.lower() or "none",
        "smtp-hostname": "device.example",
        "tls-ca-file": gateway.ca_file,
        "tls-verify": "strict",
        "from": ACCOUNT,
        "ttycharset": "utf-8",
        "sendwait": "yes",
        "DEAD": gateway.home / "dead.letter",
        **({"smtp-use-starttls": "yes"} if way.tls == "starttls" else {}),
    }
    words = [f"-S{name}={value}" for name, value in settings.items()]
    attached = ("-a", gateway.scan(), "-s", post.letter.stem.removeprefix("letter-"), post.recipient)
    gateway.run(program("s-nail"), "-:/", *words, *attached, stdin="Größe\n.dot\n".encode())


def mutt_sends(gateway: Gateway, post: Post, *, sendmail: str = "") -> None:
    """mutt, by SMTP or by ``sendmail``; it composes for itself, with the scan attached."""
    way = post.way
    scheme = "smtps" if way.tls == "implicit" else "smtp"
    lines = [
        f'set from="{ACCOUNT}"',
        "set copy=no",
        "set charset=utf-8",
        f'set header_cache="" tmpdir="{gateway.home}"',
    ]
    if sendmail:
        lines.append(f"set sendmail={json.dumps(sendmail)}")
    else:
        lines += [
            f'set smtp_url="{scheme}://{post.device}@localhost:{gateway.port(way.listener)}/"',
            f'set smtp_pass="{gateway.passwords[post.device]}" smtp_authenticators="{way.mechanism.lower()}"',
            f"set ssl_starttls={'yes' if way.tls == 'starttls' else 'no'}",
            f"set ssl_force_tls={'no' if way.tls == 'none' else 'yes'}",
            f'set ssl_ca_certificates_file="{gateway.ca_file}" ssl_usesystemcerts=no',
        ]
    settings = gateway.home / "muttrc"
    settings.write_text("\n".join(lines) + "\n")
    subject = post.letter.stem.removeprefix("letter-")
    words = ("-n", "-F", settings, "-s", subject, "-a", gateway.scan(), "--", post.recipient)
    gateway.run(program("mutt"), *words, stdin="Größe\n.dot\n".encode())


ONE_BY_ONE: dict[str, Callable[[Gateway, Post], None]] = {
    "smtplib": smtplib_sends,
    "swaks": swaks_sends,
    "msmtp": msmtp_sends,
    "curl": curl_sends,
}
ALL_AT_ONCE: dict[str, Callable[[Gateway, list[Post]], None]] = {
    "nodemailer": nodemailer_sends,
    "java-mail": java_mail_sends,
}
