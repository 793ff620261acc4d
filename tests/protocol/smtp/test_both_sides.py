"""The client core and the server core talk to each other: what one says, the other understands."""

from hypothesis import given, settings, strategies as st

from mailbearer.protocol.smtp import client as ours, server_events as theirs
from mailbearer.protocol.smtp.client import SmtpClient
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import SmtpServer
from tests.protocol.cuts import CUTS, pieces, wire
from tests.protocol.test_dots import normalised

EHLO_OK = Reply(250, "", ("mx.example", "PIPELINING", "SMTPUTF8", "8BITMIME", "AUTH XOAUTH2"))
RECIPIENTS = st.lists(
    st.sampled_from(["c@d.example", "ü@d.example", '"a>b c"@d.example', "x@[192.0.2.1]"]), min_size=1, max_size=5
)


class Pair:
    """Both cores, connected; ``said`` is what the server understood."""

    def __init__(self) -> None:
        self.client = SmtpClient()
        self.server = SmtpServer()
        self.said: list[theirs.Event] = []
        self.message = b""
        self.client.receive(self.server.send(Reply(220, "", ("mx.example",))))
        assert isinstance(self.client.next_event(), ours.Greeting)

    def carry(self, data: bytes, cuts: list[int]) -> None:
        """Bring ``data`` to the server in pieces, and its replies back."""
        for piece in pieces(data, cuts):
            self.server.receive(piece)
            while (event := self.server.next_event()) is not None:
                if isinstance(event, theirs.Body):
                    self.message += event.chunk
                    continue
                self.said.append(event)
                self.client.receive(self.server.send(self.answer(event)))

    def answer(self, event: theirs.Event) -> Reply:
        match event:
            case theirs.Hello():
                return EHLO_OK
            case theirs.DataAsked():
                return Reply(354)
            case theirs.Bad(reply):
                return reply
            case _:
                return Reply(250, "2.0.0", ("Ok",))

    def events(self) -> list[ours.Event]:
        return list(iter(self.client.next_event, None))


@settings(max_examples=50)
@given(RECIPIENTS, wire(b"..", b"MAIL FROM:<evil@b.example>").map(lambda data: data.replace(b"\0", b"")), CUTS, CUTS)
def test_a_pipelined_message_arrives_as_it_was_sent(
    recipients: list[str], message: bytes, cuts: list[int], more: list[int]
) -> None:
    pair = Pair()
    pair.carry(pair.client.send(ours.Ehlo("me")), cuts)
    assert len(pair.events()) == 1
    commands: list[ours.Command] = [ours.MailFrom("a@b.example", utf8=True), *map(ours.RcptTo, recipients), ours.Data()]
    pair.carry(b"".join(map(pair.client.send, commands)), more)
    assert all(isinstance(event, ours.Answer) and event.reply.positive for event in pair.events())
    body = b"".join(pair.client.body(piece) for piece in pieces(message, cuts))
    pair.carry(body + pair.client.send(ours.EndOfData()) + pair.client.send(ours.Rset()), more)
    assert [isinstance(event, ours.Answer) and event.reply.code for event in pair.events()] == [250, 250]
    assert pair.message == normalised(message)
    assert pair.said == [
        theirs.Hello("me", esmtp=True),
        theirs.MailAsked("a@b.example", utf8=True),
        *map(theirs.RcptAsked, recipients),
        theirs.DataAsked(),
        theirs.BodyEnd(len(pair.message)),
        theirs.RsetAsked(),
    ]
