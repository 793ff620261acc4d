"""Mail over real servers: Postfix takes it, Dovecot gives it back, TLS and sign-in as each of them wants it."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from mailbearer.admin.speech import Json
from tests.peers.machine import ACCOUNT, FAX, Machine, listed, text
from tests.peers.stack.stack import Stack

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 200 + b"\n%%EOF\n"
STEPS = {"Clock", "Name", "TCP", "TLS", "Greeting", "Capabilities", "Token", "Sign-in", "Mailbox"}


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """The SMTP service with a token."""
    machine.set_up("smtp")
    machine.get_token("smtp")
    return machine


def only(machine: Machine, mechanism: str) -> None:
    """Let the provider's entry name one mechanism, as that of a provider which offers no other."""
    machine.sql(
        "UPDATE custom_providers SET "
        "body = json_set(body, '$.sasl', json_object('smtp', json_array(?1), 'pop', json_array(?1)))",
        mechanism,
    )


def read(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def steps(report: dict[str, Json]) -> dict[str, Json]:
    return {text(step, "name"): step["ok"] for step in listed(report, "steps")}


@pytest.mark.parametrize(
    ("service", "ports"),
    [
        ("smtp", {"smtp": "starttls", "smtps": "tls", "submission": "starttls"}),
        ("pop.internet-fax", {"pop3": "starttls", "pop3s": "tls"}),
    ],
)
def test_connection_test_is_green(stack: Stack, machine: Machine, service: str, ports: dict[str, str]) -> None:
    machine.set_up(service)
    machine.get_token(service)
    for port, tls in ports.items():
        machine.run("service", "set", service, f"port={getattr(stack.ports, port)}", f"tls={tls}")
        report = machine.ask("service", "test", service)
        assert report["ok"] is True, report
        assert steps(report) == dict.fromkeys(STEPS, True)


@pytest.mark.parametrize(("port", "tls"), [("smtp", "starttls"), ("smtps", "tls")])
def test_scan_goes_out_as_it_is(stack: Stack, ready: Machine, port: str, tls: str) -> None:
    ready.run("service", "set", "smtp", f"port={getattr(stack.ports, port)}", f"tls={tls}", "sender_name=Köpierer")
    scan = ready.home / "größe 1.pdf"
    scan.write_bytes(PDF)
    for mechanism in ("XOAUTH2", "OAUTHBEARER"):
        only(ready, mechanism)
        reader = f"reader-{port}-{mechanism.lower()}@test.example"
        words = ("--to", reader, "--bcc", f"b-{reader}", "-s", "Prüfung", "-b", ".x\n")
        sent = ready.ask("send", str(scan), *words)
        assert (sent["state"], sent["code"]) == ("Accepted", ""), sent
        (content,) = stack.wait_for_mail(reader)
        arrived = read(content)
        (part,) = arrived.iter_attachments()
        assert (arrived["Subject"], part.get_filename()) == ("Prüfung", "größe 1.pdf")
        assert (arrived["From"], part.get_content()) == (f"Köpierer <{ACCOUNT}>", PDF)
        assert f"b-{reader}".encode() not in content
        assert f"(Authenticated sender: {ACCOUNT})".encode() in content


@pytest.mark.parametrize(("port", "tls"), [("pop3", "starttls"), ("pop3s", "tls")])
def test_fax_is_filed_everywhere_and_deleted(stack: Stack, machine: Machine, port: str, tls: str) -> None:
    account = f"fax-{port}@test.example"
    places = {name: machine.home / name for name in ("maildir", "folder", "attachments")}
    values = {
        "port": str(getattr(stack.ports, port)),
        "tls": tls,
        "destinations": ",".join(f"{name}:{path}" for name, path in places.items()),
    }
    machine.set_up("pop.internet-fax", account=account, **values)
    machine.get_token("pop.internet-fax", account=account)
    message = EmailMessage()
    message["From"], message["Subject"], message["Message-ID"] = "outside@elsewhere.example", "Fax", "<1@elsewhere>"
    message.set_content(".first line\n..\n")
    message.add_attachment(PDF, maintype="application", subtype="pdf", filename="../fax.pdf")
    for count, mechanism in enumerate(("XOAUTH2", "OAUTHBEARER"), 1):
        only(machine, mechanism)
        stack.deliver(account, message.as_bytes(policy=policy.SMTP))
        (stored,) = stack.wait_for_mail(account)
        assert machine.ask("check", "pop.internet-fax") == {"handed_over": 1, "deleted": 1, "left": 0, "problems": []}
        assert stack.mailbox(account) == []
        kept = [file.read_bytes() for file in (places["maildir"] / "new").iterdir()]
        assert stored in [b"\r\n".join(content.splitlines()) + b"\r\n" for content in kept]
        assert stored in [file.read_bytes() for file in places["folder"].iterdir()]
        assert [file.read_bytes() for file in places["attachments"].iterdir()] == [PDF] * count
    assert machine.ask("check", "pop.internet-fax")["handed_over"] == 0


def test_mail_that_is_left_is_fetched_once(stack: Stack, machine: Machine) -> None:
    account = "left@test.example"
    folder = machine.home / "folder"
    machine.set_up("pop.email-print", account=account, after_receiving="leave", destinations=f"folder:{folder}")
    machine.get_token("pop.email-print", account=account)
    for number in range(3):
        stack.deliver(account, b"From: a@b.example\r\nSubject: %d\r\n\r\nx\r\n" % number)
    stack.wait_for_mail(account, 3)
    assert machine.ask("check", "pop.email-print") == {"handed_over": 3, "deleted": 0, "left": 3, "problems": []}
    assert machine.ask("check", "pop.email-print") == {"handed_over": 0, "deleted": 0, "left": 3, "problems": []}
    assert len(list(folder.iterdir())) == len(stack.mailbox(account)) == 3
    machine.run("service", "set", "pop.email-print", "after_receiving=delete")
    assert machine.ask("check", "pop.email-print") == {"handed_over": 0, "deleted": 3, "left": 0, "problems": []}
    assert stack.mailbox(account) == []


def test_refused_recipient_puts_the_message_where_it_belongs(ready: Machine) -> None:
    ready.sql("UPDATE custom_providers SET body = json_set(body, '$.family', 'google')")  # whose words these are
    for recipient, state, code in (
        ("tempfail", "Retrying", "MB-S17"),
        ("throttle", "Retrying", "MB-S17"),
        ("overquota", "Failed", "MB-S34"),
        ("permfail", "Failed", "MB-S18"),
        ("ratelimit", "Held", "MB-S20"),
    ):
        sent = ready.ask("send", "--to", f"{recipient}@test.example", "-b", "x", code=1 if state == "Failed" else 0)
        assert (sent["state"], sent["code"]) == (state, code), sent
        assert text(sent, "reply")[:3].isdigit()
        assert text(sent, "reason")
        ready.sql("DELETE FROM paces")  # the pause is over that a busy provider gets
    waiting = listed(ready.ask("queue", "list"), "messages")
    assert [each["state"] for each in waiting if each["sender"]] == ["Retrying", "Retrying", "Held"]
    assert [each["subject"] for each in waiting if not each["sender"]] == ["Not delivered"] * 2


def test_refused_recipient_keeps_nobody_else_from_the_mail(stack: Stack, ready: Machine) -> None:
    sent = ready.ask("send", "--to", "permfail@test.example", "--to", "good@test.example", "-b", "x", code=1)
    assert [each["state"] for each in listed(sent, "recipients")] == ["Refused", "Accepted"]
    assert len(stack.wait_for_mail("good@test.example")) == 1


def test_secondary_server_takes_over(stack: Stack, ready: Machine) -> None:
    ready.run("provider", "set", "acme", "hosts=127.0.0.1,127.0.0.2")
    ready.run("service", "set", "smtp", "primary_server=127.0.0.2", "secondary_server=127.0.0.1")
    assert ready.ask("send", "--to", "second@test.example", "-b", "x")["state"] == "Accepted"
    assert len(stack.wait_for_mail("second@test.example")) == 1
    report = ready.ask("service", "test", "smtp", code=1)
    diagnosis = report["diagnosis"]
    assert isinstance(diagnosis, dict)
    assert "MB-S03" in text(diagnosis, "code")
    assert "127.0.0.1 passed every step" in text(diagnosis, "action")


def test_token_is_never_shown_to_a_server_with_another_certificate(stack: Stack, ready: Machine) -> None:
    ready.run("service", "set", "smtp", f"port={stack.ports.smtps_wrong_host}", "tls=tls")
    sent = ready.ask("send", "--to", FAX, "-b", "x")
    assert (sent["state"], sent["code"]) == ("Retrying", "MB-S08"), sent
    report = ready.ask("service", "test", "smtp", code=1)
    assert steps(report)["TLS"] is False
    assert "wrong.example" in str(report["diagnosis"])
    assert stack.journal("/token/introspection") == []
    assert ready.status()["status"] == "Retrieved"


def test_token_is_never_shown_to_a_server_of_somebody_else(stack: Stack, ready: Machine) -> None:
    refused = ready.run("service", "set", "smtp", "primary_server=127.0.0.1", code=1)
    assert "MB-T40" in refused.err
    ready.run("provider", "set", "acme", "hosts=127.0.0.1")
    ready.run("service", "set", "smtp", "primary_server=127.0.0.1")
    assert ready.ask("send", "--to", "added@test.example", "-b", "x")["state"] == "Accepted"
    ready.run("provider", "set", "acme", "hosts=")
    calls = len(stack.journal("/token/introspection"))
    sent = ready.ask("send", "--to", FAX, "-b", "x")
    assert (sent["state"], sent["code"]) == ("Held", "MB-T40")
    assert len(stack.journal("/token/introspection")) == calls


def test_token_is_never_sent_without_encryption(stack: Stack, ready: Machine) -> None:
    port = f"port={stack.ports.smtp_plain}"
    assert "MB-T41" in ready.run("service", "set", "smtp", port, "tls=off", code=1).err
    ready.run("service", "set", "smtp", port)
    sent = ready.ask("send", "--to", FAX, "-b", "x")
    assert (sent["state"], sent["code"]) == ("Retrying", "MB-S09"), sent
    assert stack.journal("/token/introspection") == []


def test_password_still_works_where_a_provider_wants_one(stack: Stack, machine: Machine) -> None:
    (machine.home / "password").write_text(stack.password)
    machine.set_up("smtp")
    machine.run("service", "set", "smtp", "auth=password", f"password=@{machine.home / 'password'}")
    assert machine.ask("send", "--to", "password@test.example", "-b", "x")["state"] == "Accepted"
    assert machine.ask("service", "test", "smtp")["ok"] is True


def test_service_sends_and_receives_by_itself(stack: Stack, machine: Machine) -> None:
    account = "itself@test.example"
    folder = machine.home / "folder"
    machine.set_up("smtp", "pop.internet-fax", account=account)
    machine.get_token("smtp", "pop.internet-fax", account=account)
    machine.run("service", "set", "pop.internet-fax", f"destinations=folder:{folder}", "check_interval=10s")
    with machine.serving():
        sent = machine.ask("send", "--to", account, "-s", "round trip", "-b", "x")
        assert (sent["state"], sent["served"]) == ("Waiting", True)
        stack.wait_for_mail(account)
        machine.run("check", "pop.internet-fax")
        (arrived,) = folder.iterdir()
        assert read(arrived.read_bytes())["Subject"] == "round trip"
        assert machine.ask("queue", "show", text(sent, "id"))["state"] == "Accepted"
