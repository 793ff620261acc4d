"""End to end with TLS on both sides: devices sign in over STARTTLS, the provider wants XOAUTH2; beside Postfix.

Postfix has no XOAUTH2 of its own, so that it neither asks its clients for a password nor shows one: it does less.
"""

from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.gateway.ground import DEVICE, encrypted
from bench.gateway.load import Load, SignIn, send_signed_in
from bench.gateway.postfix import postfix
from bench.gateway.programs import Program
from bench.gateway.provider import Provider, provider
from bench.gateway.rounds import Run, Taken, beside, in_turn, times
from bench.sizes import Size

LOAD = Load(10)
LIMIT = 6.0  # times the rate of Postfix
CPU_LIMIT = 250e-6  # seconds of a message


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure 1 KiB over ten connections that are kept."""
    with provider(folder / "provider") as sink:
        gateway = encrypted(folder / "data", sink)
        with gateway.served() as ours, postfix(folder / "postfix", sink.port, chain=sink.chain) as other:
            contenders = {
                "Mailbearer": through(ours, sink, LOAD, SignIn(DEVICE, gateway.password)),
                "Postfix with TLS": through(other, sink, LOAD, SignIn("", "")),
            }
            found = in_turn(contenders, rounds=size.rounds, seconds=size.burst)
    mine, theirs = found["Mailbearer"], found["Postfix with TLS"]
    return [
        times("end to end, TLS", mine.rate, theirs.rate, Target(LIMIT, least=True)),
        beside("messages a second", mine.rate, theirs.rate),
        Figure(Series("end to end, TLS, CPU of a message", "µs", mine.cpu.values), Target(CPU_LIMIT), (theirs.cpu,)),
    ]


def through(program: Program, sink: Provider, load: Load, sign_in: SignIn) -> Run:
    """Return how to measure what it takes until everything has come out on the other side."""

    def run(count: int) -> Taken:
        there, before = sink.count(), program.cpu()
        began, _ = send_signed_in(program.port, load, count, sign_in)
        ended = sink.wait(there + count)
        return Taken(count, ended - began, program.cpu() - before)

    return run
