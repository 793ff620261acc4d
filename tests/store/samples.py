"""Values to store, with everything in them that a row must keep."""

from datetime import UTC, datetime, timedelta

from mailbearer.model.envelope import Envelope
from mailbearer.model.grant import Flow, Trouble
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import ServiceId
from mailbearer.store.grants import SealedGrant
from mailbearer.store.pendings import SealedPending

NOW = datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC)
SMTP = ServiceId("smtp")
POP = ServiceId("pop.internet-fax")
MINUTE = timedelta(minutes=1)

TROUBLE = Trouble(
    code="MB-T07",
    since=NOW,
    fields={"provider": "Microsoft", "account": "scanner@example.com"},
    provider_error="invalid_grant",
    number=50173,
    trace="2a1-b",
    detail="AADSTS50173: The provided grant has expired\r\n",
    next_try=NOW + 60 * MINUTE,
)


def grant(version: int = 1, service: ServiceId = SMTP, *, sealed: bytes = b"\x00sealed\xff") -> SealedGrant:
    return SealedGrant(
        service=service,
        version=version,
        sealed=sealed,
        access_expires_at=NOW + 60 * MINUTE,
        scope=("offline_access", "https://outlook.office.com/SMTP.Send"),
        provider="microsoft365",
        account="scanner@example.com",
        account_confirmed=True,
        flow=Flow.DEVICE,
        obtained_at=NOW - 60 * MINUTE,
        refreshed_at=NOW,
    )


def pending(name: str = "p1", service: ServiceId = SMTP, *, started_at: datetime = NOW) -> SealedPending:
    return SealedPending(
        service=service,
        id=name,
        flow=Flow.DEVICE,
        started_at=started_at,
        expires_at=started_at + 15 * MINUTE,
        started_by="Ada Lind",
        scopes=("offline_access",),
        sealed=b"codes",
        interval=timedelta(seconds=5),
        next_poll=started_at + timedelta(seconds=5),
    )


def message(
    name: str = "m1",
    *,
    service: ServiceId = SMTP,
    state: MessageState = MessageState.WAITING,
    next_try: datetime | None = None,
    code: str = "",
) -> QueuedMessage:
    recipients = ("office@example.com", "büro@example.org")
    return QueuedMessage(
        id=MessageId(name),
        service=service,
        envelope=Envelope("scanner@example.com", recipients),
        size=12_345,
        message_id=f"<{name}@scanner.example.com>",
        subject="Scan – 3 Seiten",
        state=state,
        created_at=NOW,
        next_try=next_try,
        attempts=0,
        recipients=tuple(RecipientOutcome(address, RecipientState.WAITING) for address in recipients),
        code=code,
    )
