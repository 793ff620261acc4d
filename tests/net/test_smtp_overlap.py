"""Messages handed over in overlapping flights, to a server that says yes and no as it likes (RFC 2920 section 3.1)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from mailbearer.clock import SystemClock
from mailbearer.errors import ConnectionLostError, LocalProtocolError, MailbearerError, ServerRefusedError
from mailbearer.model.envelope import DsnWishes, Envelope, RecipientWish
from mailbearer.model.message import RecipientState
from mailbearer.net.smtp import Submission, open_smtp
from tests.fakes.net_server import Peer, serving

CLOCK = SystemClock()
OK, LATER, NO, AWAY = "250 2.0.0 yes", "451 4.3.0 later", "550 5.1.1 no", ""


@dataclass
class Plan:
    """What the server says to one message: to MAIL, to each RCPT, to DATA (empty: as it must), at the end."""

    mail: str
    rcpts: tuple[str, ...]
    data: str
    end: str


@dataclass
class Server:
    """Answers by plan, one plan for each MAIL; ``taken`` is what it has promised to deliver."""

    plans: list[Plan]
    pipelining: bool = True
    taken: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    async def talk(self, peer: Peer) -> None:
        await peer.say("220 here")
        await peer.hear()
        await peer.say(*(("250-here", "250-PIPELINING", "250 DSN") if self.pipelining else ("250 here",)))
        dialogue = Dialogue(self)
        while command := await peer.hear():
            self.commands.append(command)
            answer = dialogue.answer(command)
            await peer.say(answer)
            if answer.startswith("354"):
                content = b""
                while not (content == b".\r\n" or content.endswith(b"\r\n.\r\n")):
                    content += await peer.reader.readline()
                    assert content
                if (answer := dialogue.end(content)) == AWAY:
                    return
                await peer.say(answer)


class Dialogue:
    """What one connection is about just now."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.plan = Plan(OK, (), "", OK)
        self.sender = ""
        self.begun = False
        self.said = iter(self.plan.rcpts)
        self.recipients: list[str] = []

    def answer(self, command: str) -> str:
        match command[:4]:
            case "MAIL":
                self.plan = self.server.plans.pop(0)
                self.said, self.recipients = iter(self.plan.rcpts), []
                self.sender = command[11:].split(">", maxsplit=1)[0]
                self.begun = self.plan.mail == OK
                return self.plan.mail
            case "RCPT":
                answer = next(self.said) if self.begun else "503 5.5.1 MAIL first"
                if answer == OK:
                    self.recipients.append(command[9:].split(">", maxsplit=1)[0])
                return answer
            case "DATA":
                answer = self.plan.data or ("354 go" if self.recipients else "554 5.5.1 no valid recipients")
                return "503 5.5.1 MAIL first" if not self.begun and answer.startswith("354") else answer
            case "RSET":
                self.begun, self.recipients = False, []
                return OK
            case _:
                return "221 bye"

    def end(self, content: bytes) -> str:
        recipients, self.recipients, self.begun = tuple(self.recipients), [], False
        if not recipients:
            return "554 5.5.1 no valid recipients"
        if self.plan.end == OK:
            assert content == f"{self.sender}\r\n.\r\n".encode()
            self.server.taken.append((self.sender, recipients))
        return self.plan.end


async def chunks(sender: str) -> AsyncIterator[bytes]:
    yield sender[:3].encode()
    yield sender[3:].encode()


def submission(number: int, recipients: int) -> Submission:
    return Submission(Envelope(f"s{number}@x.example", tuple(f"r{i}@y.example" for i in range(recipients))), 12)


REPLIES = st.sampled_from((OK, OK, OK, LATER, NO))
PLANS = st.lists(
    st.builds(
        Plan,
        REPLIES,
        st.lists(REPLIES, min_size=1, max_size=3).map(tuple),
        st.sampled_from(("", "", "", "354 go on, whoever it is for", LATER, NO)),
        st.sampled_from((OK, OK, LATER, NO, AWAY)),
    ),
    min_size=1,
    max_size=5,
)


async def hand_all(server: Server, port_route: object, plans: list[Plan]) -> list[object]:
    """Hand over a message for each plan; return outcomes or errors, a new connection after each that broke."""
    found: list[object] = []
    messages = [submission(number, len(plan.rcpts)) for number, plan in enumerate(plans)]
    session = None
    for number, message in enumerate(messages):
        if session is None:
            session = await open_smtp(port_route, "me", CLOCK)  # type: ignore[arg-type]
        following = messages[number + 1] if number + 1 < len(messages) else None
        try:
            content = chunks(message.envelope.reverse_path)
            found.append(await session.hand_over(message, content, following=following))
            broken = session.spent
        except MailbearerError as error:
            found.append(error)
            broken = session.spent or not isinstance(error, ServerRefusedError)
        if broken:
            await session.close()
            session = None
    if session is not None:
        await session.quit()
    return found


def expected(plan: Plan) -> object:
    """Return what must become of a message: ``uncertain``, ``refused``, or the state of each recipient."""
    if plan.mail != OK:
        return "refused"
    accepted = any(reply == OK for reply in plan.rcpts)
    states = tuple({OK: "Accepted", LATER: "Waiting", NO: "Refused"}[reply] for reply in plan.rcpts)
    if not accepted:
        return states
    if plan.data in {LATER, NO} or plan.end in {LATER, NO}:
        return "refused"
    return "uncertain" if plan.end == AWAY else states


@given(PLANS, st.booleans())
@settings(deadline=None, max_examples=60)
def test_whatever_is_refused_each_message_ends_as_the_server_said(plans: list[Plan], pipelining: bool) -> None:
    async def main() -> None:
        server = Server(list(plans), pipelining)
        async with serving(server.talk) as state:
            found = await hand_all(server, state.route(), plans)
        promised = list(server.taken)
        for number, (plan, outcome) in enumerate(zip(plans, found, strict=True)):
            wanted = expected(plan)
            sender = f"s{number}@x.example"
            whom = tuple(f"r{i}@y.example" for i, reply in enumerate(plan.rcpts) if reply == OK)
            if isinstance(outcome, tuple):
                assert tuple(str(each.state) for each in outcome) == wanted
            elif isinstance(outcome, ConnectionLostError):
                assert (wanted, outcome.code) == ("uncertain", "MB-S35")
            else:
                assert isinstance(outcome, ServerRefusedError)
                assert wanted == "refused"
            delivered = [each for each in promised if each[0] == sender]
            has_it = isinstance(wanted, tuple) and "Accepted" in wanted
            assert delivered == ([(sender, whom)] if has_it else [])  # neither lost nor sent twice

    asyncio.run(main())


async def test_a_kept_line_costs_one_round_trip_for_each_message() -> None:
    trips = 0
    count = 50

    async def talk(peer: Peer) -> None:
        nonlocal trips
        await peer.say("220 here")
        await peer.hear()
        await peer.say("250-here", "250 PIPELINING")
        while data := await peer.reader.read(65536):
            trips += 1
            answer = b""
            if b"\r\n.\r\n" in data:
                answer += b"250 2.0.0 taken\r\n"
            if b"MAIL FROM" in data:
                answer += b"250 a\r\n250 b\r\n354 c\r\n"
            await peer.send(answer)

    async with serving(talk) as state:
        session = await open_smtp(state.route(), "me", CLOCK)
        messages = [submission(number, 1) for number in range(count)]
        for number, message in enumerate(messages):
            following = messages[number + 1] if number + 1 < count else None
            outcomes = await session.hand_over(message, chunks("x\r\n"), following=following)
            assert outcomes[0].state is RecipientState.ACCEPTED
        await session.close()
    assert trips == count + 1


async def test_another_message_than_the_one_begun_is_refused() -> None:
    server = Server([Plan(OK, (OK,), "", OK), Plan(OK, (OK,), "", OK)])
    async with serving(server.talk) as state:
        session = await open_smtp(state.route(), "me", CLOCK)
        await session.hand_over(submission(0, 1), chunks("s0@x.example"), following=submission(1, 1))
        with pytest.raises(LocalProtocolError):
            await session.hand_over(submission(2, 1), chunks("x"))
        await session.close()
    assert [each[0] for each in server.taken] == ["s0@x.example"]


async def test_a_following_message_that_does_not_fit_is_told_in_its_turn() -> None:
    server = Server([Plan(OK, (OK,), "", OK)])
    async with serving(server.talk) as state:
        session = await open_smtp(state.route(), "me", CLOCK)
        strange = Submission(Envelope("s1@x.example", ("ü@y.example",)), 12)
        await session.hand_over(submission(0, 1), chunks("s0@x.example"), following=strange)
        with pytest.raises(ServerRefusedError) as caught:
            await session.hand_over(strange, chunks("x"))
        await session.quit()
    assert caught.value.code == "MB-S36"


async def test_wishes_for_reports_are_passed_on_to_a_server_that_knows_them() -> None:
    server = Server([Plan(OK, (OK, OK), "", OK)])
    wishes = DsnWishes("HDRS", "a+b c", (RecipientWish(("FAILURE", "DELAY"), "rfc822;old@y.example"),))
    envelope = Envelope("s0@x.example", ("r0@y.example", "r1@y.example"), wishes)
    async with serving(server.talk) as state:
        session = await open_smtp(state.route(), "me", CLOCK)
        await session.hand_over(Submission(envelope, 12), chunks("s0@x.example"))
        await session.quit()
    assert server.commands[:3] == [
        "MAIL FROM:<s0@x.example> RET=HDRS ENVID=a+2Bb+20c",
        "RCPT TO:<r0@y.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;old@y.example",
        "RCPT TO:<r1@y.example>",
    ]
