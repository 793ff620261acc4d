import time

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError
from mailbearer.model.device import FromPolicy
from mailbearer.sending.from_policy import Sender, Signed, address_in, mailbox, sign
from mailbearer.sending.submitted import Header

SERVICE = Sender("Harbour Clinic", "scan@clinic.example")


def signed(policy: FromPolicy, fields: bytes, path: str = "a@b.example", sender: Sender = SERVICE) -> Signed:
    return sign(policy, Header(fields), path, sender)


def test_as_is_changes_nothing() -> None:
    assert signed(FromPolicy.AS_IS, b'From: "A, B" <a@b.example>\r\n') == Signed("a@b.example")


@pytest.mark.parametrize(
    ("written", "repaired"),
    [
        (b"scan@3f <scan@b.example>", b'From: "scan@3f" <scan@b.example>\r\n'),
        (b"Scanner scan@b.example", b"From: Scanner <scan@b.example>\r\n"),
    ],
)
def test_a_broken_from_is_repaired_and_told(written: bytes, repaired: bytes) -> None:
    assert signed(FromPolicy.AS_IS, b"From: " + written + b"\r\n") == Signed(
        "a@b.example", (b"from",), repaired, repaired=True
    )


@pytest.mark.parametrize(
    ("written", "repaired"),
    [
        (b"root", b"root"),
        (b"root (Cron Daemon)", b'"root (Cron Daemon)"'),
        (b'"Backup" <root>', b"Backup"),
        (b"Scanner <>", b"Scanner"),
        (b"<root>", b""),
    ],
)
@pytest.mark.parametrize("policy", list(FromPolicy))
def test_a_from_without_a_domain_gets_the_address_of_the_sender(
    policy: FromPolicy, written: bytes, repaired: bytes
) -> None:
    found = signed(policy, b"From: " + written + b"\r\n", SERVICE.address)
    mailbox = repaired + b" <scan@clinic.example>" if repaired else b"scan@clinic.example"
    assert found == Signed(SERVICE.address, (b"from",), b"From: " + mailbox + b"\r\n", repaired=True)


def test_what_replies_go_to_is_an_address_although_the_from_was_none() -> None:
    found = signed(FromPolicy.REPLACE, b"From: root\r\n", "alert@b.example")
    assert found.added == b"From: Harbour Clinic <scan@clinic.example>\r\nReply-To: root <alert@b.example>\r\n"


def test_a_missing_from_is_the_reverse_path() -> None:
    assert signed(FromPolicy.AS_IS, b"").added == b"From: a@b.example\r\n"
    assert signed(FromPolicy.AS_IS, b"", "").added == b""


def test_replace_keeps_the_original_in_reply_to() -> None:
    found = signed(FromPolicy.REPLACE, b"From: Copier <a@b.example>\r\nSender: x@y.example\r\n")
    assert found == Signed(
        "scan@clinic.example",
        (b"from", b"sender"),
        b"From: Harbour Clinic <scan@clinic.example>\r\nReply-To: Copier <a@b.example>\r\n",
    )


def test_replace_leaves_a_reply_to_alone_and_reports_without_sender() -> None:
    found = signed(FromPolicy.REPLACE, b"From: a@b.example\r\nReply-To: c@d.example\r\n", "")
    assert (found.reverse_path, b"Reply-To" in found.added) == ("", False)


@pytest.mark.parametrize("policy", [FromPolicy.REPLACE, FromPolicy.REFUSE])
def test_the_services_own_address_stays_as_it_is_written(policy: FromPolicy) -> None:
    assert signed(policy, b"From: Me <Scan@Clinic.example>\r\n", "scan@clinic.example") == Signed("scan@clinic.example")


@pytest.mark.parametrize(("field", "path"), [(b"a@b.example", ""), (b"scan@clinic.example", "a@b.example")])
def test_refuse_refuses_others(field: bytes, path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        signed(FromPolicy.REFUSE, b"From: " + field + b"\r\n", path)
    assert caught.value.code == "MB-G03"


@pytest.mark.parametrize(
    ("name", "text"),
    [("", "a@b.example"), ('A "B"', '"A \\"B\\"" <a@b.example>'), ("Jürgen", "=?utf-8?b?SsO8cmdlbg==?= <a@b.example>")],
)
def test_a_name_is_quoted_or_encoded(name: str, text: str) -> None:
    assert mailbox(name, "a@b.example") == text


@given(st.binary(max_size=120), st.sampled_from(list(FromPolicy)), st.sampled_from(["", "a@b.example"]))
def test_any_from_gives_fields_that_are_fields(written: bytes, policy: FromPolicy, path: str) -> None:
    written = written.replace(b"\r", b"").replace(b"\n", b"")
    try:
        found = signed(policy, b"From: " + written + b"\r\n", path)
    except InvalidInputError:
        return
    lines = found.added.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line.startswith((b"From: ", b"Reply-To: ")) for line in lines)


@given(st.binary(max_size=60))
def test_any_bytes_hold_an_address_or_none(value: bytes) -> None:
    assert address_in(value) == "" or "@" in address_in(value)


@pytest.mark.parametrize(
    "written",
    [b"a" * 100_000, b"x" + b" " * 100_000 + b"x", b'"' + b"a" * 100_000, b"\xff" * 100_000 + b" <a@b.example>"],
)
@pytest.mark.parametrize("policy", [FromPolicy.AS_IS, FromPolicy.REPLACE])
def test_a_from_without_end_takes_no_time_to_speak_of(written: bytes, policy: FromPolicy) -> None:
    begin = time.process_time()
    assert len(signed(policy, b"From: " + written + b"\r\n").added) < 998
    assert time.process_time() - begin < 0.1


@pytest.mark.parametrize(
    "fields",
    [
        b"From: scan@clinic.example\r\nFrom: boss@clinic.example\r\n",
        b"From: boss@clinic.example\r\nfrom : scan@clinic.example\r\n",
        b"From: scan@clinic.example, boss@clinic.example\r\n",
        b"From: boss@clinic.example,\r\n <scan@clinic.example>\r\n",
        b'From: "<scan@clinic.example>" <boss@clinic.example>\r\n',
        b'From: "<scan@clinic.example>" <"boss"@clinic.example>\r\n',
        b"From: scan@clinic.example, boss @ clinic.example\r\n",
        b"From: All: scan@clinic.example, boss@clinic.example;\r\n",
        b"From: <scan@clinic.example@boss.example>\r\n",
    ],
)
def test_a_from_that_names_somebody_beside_the_service_is_not_its_own(fields: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        signed(FromPolicy.REFUSE, fields, SERVICE.address)
    assert caught.value.code == "MB-G03"
    found = signed(FromPolicy.REPLACE, fields, SERVICE.address)
    assert found.removed == (b"from", b"sender")
    assert found.added.startswith(b"From: Harbour Clinic <scan@clinic.example>\r\nReply-To: ")


@pytest.mark.parametrize("policy", [FromPolicy.REPLACE, FromPolicy.REFUSE])
@pytest.mark.parametrize(
    "written",
    [
        b"Clinic, Harbour <scan@clinic.example>",
        b'"scan@3f" <scan@clinic.example>',
        b'"Boss <boss@clinic.example>" <scan@clinic.example>',
    ],
)
def test_a_name_beside_the_services_own_address_is_no_other_sender(policy: FromPolicy, written: bytes) -> None:
    assert signed(policy, b"From: " + written + b"\r\n", SERVICE.address) == Signed(SERVICE.address)


@pytest.mark.parametrize("policy", [FromPolicy.REPLACE, FromPolicy.REFUSE])
def test_a_sender_beside_the_services_own_from_is_taken_out_if_it_is_another(policy: FromPolicy) -> None:
    mail = b"From: scan@clinic.example\r\nSender: "
    assert signed(policy, mail + b"boss@clinic.example\r\n", SERVICE.address).removed == (b"sender",)
    assert signed(policy, mail + b"scan@clinic.example\r\n", SERVICE.address).removed == ()
