"""What senders hear: who, when, in which words, and who hears nothing."""

import email
import email.policy
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mailbearer.model.envelope import DsnWishes, Envelope, RecipientWish
from mailbearer.model.message import MessageId, MessageState
from mailbearer.sending.courier import Courier
from mailbearer.sending.failure_report import Reporter
from tests.sending.office import ANNA, BOB, LETTER, SMTP, Office, _in_chunks

NOBODY = "nobody@elsewhere.example"


def courier_that_tells(office: Office) -> Courier:
    reporter = Reporter(
        office.intake, office.store.bodies, office.clock, service_of=office.sources.service_of, host_name="here.example"
    )
    return office.new_courier(on_failed=reporter.failed, on_delayed=reporter.delayed, on_relayed=reporter.relayed)


def reports(office: Office) -> list[email.message.EmailMessage]:
    found = [email.message_from_bytes(mail, policy=email.policy.default) for mail in office.world.mailbox(ANNA)]
    return [mail for mail in found if mail.get_content_type() == "multipart/report"]


def status(report: email.message.EmailMessage) -> list[dict[str, str]]:
    part = list(report.iter_parts())[1]
    return [dict(block.items()) for block in part.get_payload()]  # type: ignore[union-attr]


async def test_failed_message_is_reported_to_its_sender_in_words_and_for_machines(ready: Office) -> None:
    courier = courier_that_tells(ready)
    message = await ready.put(BOB, NOBODY)
    await courier.flush()
    (report,) = reports(ready)
    words, machine, header = report.iter_parts()
    assert report["to"].addresses[0].addr_spec == ANNA
    assert report["auto-submitted"] == "auto-replied"
    assert f"could not be delivered to:\n\n  {NOBODY}" in words.get_content().replace("\r\n", "\n")
    assert machine.get_content_type() == "message/delivery-status"
    whole, each = status(report)
    assert whole["Reporting-MTA"] == "dns; here.example"
    assert (each["Final-Recipient"], each["Action"], each["Status"]) == (f"rfc822; {NOBODY}", "failed", "5.1.1")
    assert each["Diagnostic-Code"].startswith("smtp; 550")
    assert header.get_content_type() == "text/rfc822-headers"
    assert "Message-ID: <1@practice.example>" in str(header.get_payload())
    assert "Hello" not in str(header.get_payload())
    assert (await ready.store.messages.get(message)).state is MessageState.FAILED


async def test_report_has_no_sender_and_is_never_reported_itself(ready: Office) -> None:
    courier = courier_that_tells(ready)
    envelope = Envelope("", (NOBODY,))
    await ready.intake.accept(SMTP, envelope, _in_chunks(LETTER % b"x"))
    await ready.put(NOBODY)
    ready.world.fault("smtp/rcpt", body="550 5.1.1 No", count=-1)
    await courier.flush()
    messages = await ready.store.messages.list()
    assert [each.envelope.reverse_path for each in messages] == ["", ANNA, ""]  # one report, of the one with a sender
    assert {each.state for each in messages} == {MessageState.FAILED}


@pytest.mark.parametrize(("notify", "count"), [((), 1), (("FAILURE",), 1), (("NEVER",), 0), (("SUCCESS", "DELAY"), 0)])
async def test_wishes_decide_about_failures(ready: Office, notify: tuple[str, ...], count: int) -> None:
    courier = courier_that_tells(ready)
    wish = RecipientWish(notify, "rfc822;old@elsewhere.example")
    await ready.put(NOBODY, dsn=DsnWishes("FULL", "envelope 7", (wish,)))
    await courier.flush()
    found = reports(ready)
    assert len(found) == count
    if found:
        whole, each = status(found[0])
        assert whole["Original-Envelope-Id"] == "envelope 7"
        assert each["Original-Recipient"] == "rfc822;old@elsewhere.example"


async def test_delay_is_told_once_after_four_hours(ready: Office) -> None:
    courier = courier_that_tells(ready)
    message = await ready.put(BOB)
    ready.world.fault("smtp/rcpt", body="450 4.2.0 Greylisted", count=12)
    for _ in range(12):
        await courier.flush()
        await ready.clock.advance(hours=1)
    ready.world.clear_faults()
    await courier.flush()
    (report,) = reports(ready)
    assert status(report)[1]["Action"] == "delayed"
    assert status(report)[1]["Status"] == "4.2.0"
    assert "has not been delivered yet" in next(iter(report.iter_parts())).get_content()
    assert (await ready.store.messages.get(message)).state is MessageState.ACCEPTED


async def test_delay_of_a_server_that_nobody_can_reach_is_not_told(ready: Office) -> None:
    courier = courier_that_tells(ready)
    await ready.put()
    ready.world.fault("smtp/connect", drop=True, count=8)
    for _ in range(24):  # each pause is an hour, a fifth more or less
        await courier.flush()
        await ready.clock.advance(hours=1)
    assert (ready.delivered(), reports(ready)) == (["Scan"], [])


async def test_message_that_is_too_old_is_reported_with_the_end_of_its_time(ready: Office) -> None:
    courier = courier_that_tells(ready)
    await ready.put(dsn=DsnWishes("", "", (RecipientWish(("FAILURE",)),)))
    ready.world.fault("smtp/rcpt", body="450 4.2.0 Greylisted")
    await ready.clock.advance(days=6)
    await courier.flush()
    (report,) = reports(ready)
    assert (status(report)[1]["Action"], status(report)[1]["Status"]) == ("failed", "4.4.7")


async def test_success_is_told_to_who_asks_when_the_provider_does_not(ready: Office) -> None:
    courier = courier_that_tells(ready)
    await ready.put(BOB, ANNA, dsn=DsnWishes("", "", (RecipientWish(("SUCCESS",)), RecipientWish(("NEVER",)))))
    await courier.flush()
    (report,) = reports(ready)
    assert [each["Action"] for each in status(report)[1:]] == ["relayed"]
    assert status(report)[1]["Final-Recipient"] == f"rfc822; {BOB}"


async def test_failure_whose_report_was_lost_is_told_later(ready: Office) -> None:
    async def dies(_: object) -> None:
        from mailbearer.errors import StoreError

        raise StoreError("MB-D05")

    await ready.put(NOBODY)
    await ready.new_courier(on_failed=dies).flush()
    assert len(await ready.store.outcomes.untold()) == 1
    courier = courier_that_tells(ready)
    await courier._tidy()
    await courier._tidy()
    await courier.flush()
    assert len(reports(ready)) == 1


async def test_header_with_eight_bits_and_address_beyond_ascii_make_a_report_that_can_be_read(ready: Office) -> None:
    courier = courier_that_tells(ready)

    async def content() -> AsyncIterator[bytes]:
        yield "From: a@practice.example\r\nSubject: Grüße\r\n".encode() + b"\r\nHi\r\n"

    envelope = Envelope(ANNA, ("jürgen@elsewhere.example",))
    message = await ready.intake.accept(SMTP, envelope, content())
    await courier.flush()
    (report,) = reports(ready)
    assert status(report)[1]["Final-Recipient"] == r"utf-8; j\x{FC}rgen@elsewhere.example"
    assert message.id in next(iter(report.iter_parts())).get_content()
    assert (await ready.store.outcomes.told(MessageId(message.id))) == "Failed"
    assert ready.clock.now() - message.created_at < timedelta(hours=1)
