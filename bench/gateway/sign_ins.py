"""A connection, STARTTLS and a sign-in for each message, beside email-oauth2-proxy; and who has to wait meanwhile."""

import threading
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.gateway.emailproxy import PASSWORD as PROXY_PASSWORD, emailproxy
from bench.gateway.encrypted import through
from bench.gateway.ground import DEVICE, PASSWORD, encrypted
from bench.gateway.load import SENDER, Load, SignIn, send_signed_in
from bench.gateway.patience import Longest, Waiter
from bench.gateway.provider import Provider, provider
from bench.gateway.rounds import beside, in_turn, times
from bench.sizes import Size

LOAD = Load(10)
LIMIT = 100.0  # times the rate of email-oauth2-proxy
DELAY_LIMIT = 0.005  # seconds that another session may wait
SIGN_INS = 40  # one after the other, while it waits
WARM = 20


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure both."""
    with provider(folder / "provider") as sink:
        return [*_rate(folder, sink, size), *_delay(folder, sink, size)]


def _rate(folder: Path, sink: Provider, size: Size) -> list[Figure]:
    gateway = encrypted(folder / "data", sink)
    with gateway.served() as ours, emailproxy(folder / "proxy", sink) as other:
        contenders = {
            "Mailbearer": through(ours, sink, LOAD, SignIn(DEVICE, gateway.password, kept=False)),
            "email-oauth2-proxy": through(other, sink, LOAD, SignIn(SENDER, PROXY_PASSWORD, kept=False)),
        }
        found = in_turn(contenders, rounds=size.rounds, seconds=size.burst, warm=WARM)
    mine, theirs = found["Mailbearer"], found["email-oauth2-proxy"]
    return [
        times("connection, STARTTLS, sign-in each", mine.rate, theirs.rate, Target(LIMIT, least=True)),
        beside("messages a second", mine.rate, theirs.rate),
        beside("CPU of a message", mine.cpu, theirs.cpu),
    ]


def _delay(folder: Path, sink: Provider, size: Size) -> list[Figure]:
    figures: list[Figure] = []
    for kind, chosen in (("generated", ""), ("chosen", PASSWORD)):
        place = folder / kind
        gateway = encrypted(place, sink, chosen=chosen)
        sign_in = SignIn(DEVICE, gateway.password, kept=False)
        with gateway.served() as ours, Waiter(ours) as waiter:
            send_signed_in(ours.port, Load(1), 2, sign_in)
            runs = [_wait(waiter, sign_in, max(2, int(SIGN_INS * size.burst))) for _ in range(size.rounds)]
        series = Series(f"a session waits for a sign-in, {kind} password", "ms", tuple(run.stalled for run in runs))
        answers = Series("its longest answer, waiting for a processor included", "ms", tuple(run.took for run in runs))
        figures.append(Figure(series, Target(DELAY_LIMIT), (answers,)))
    return figures


def _wait(waiter: Waiter, sign_in: SignIn, count: int) -> Longest:
    sender = threading.Thread(target=send_signed_in, args=(waiter.port, Load(1), count, sign_in))
    sender.start()
    return waiter.ask_while(sender.is_alive)
