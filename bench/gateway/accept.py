"""Durable accept: ``serve`` answers 250 when a message is on the disk, ``smtp-sink`` keeps nothing.

The provider lets us connect and then says nothing, so that what is accepted stays in the queue.
"""

import socket
from pathlib import Path

from bench.figures import Figure, Target
from bench.gateway.discard import accepted_by
from bench.gateway.ground import relay
from bench.gateway.load import Load
from bench.gateway.programs import running, sink_command
from bench.gateway.rounds import beside, in_turn, times
from bench.processes import free_port
from bench.sizes import Size

LIMITS = {10: 0.6, 50: 0.8}  # times the rate of smtp-sink


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure over ten and fifty connections."""
    return [figure for connections in LIMITS for figure in _measure(folder / str(connections), connections, size)]


def _measure(folder: Path, connections: int, size: Size) -> list[Figure]:
    folder.mkdir()
    load, sink_port = Load(connections), free_port()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        relay(folder / "data", silent.getsockname()[1]).served() as ours,
        running(sink_command(sink_port), sink_port, log=folder / "sink.log") as sink,
    ):
        contenders = {"Mailbearer": accepted_by(ours, load), "smtp-sink": accepted_by(sink, load)}
        found = in_turn(contenders, rounds=size.rounds, seconds=size.burst)
        silent.close()  # or serve would wait for it at its end
    mine, other = found["Mailbearer"], found["smtp-sink"]
    name = f"durable accept, {connections} connections"
    return [
        times(name, mine.rate, other.rate, Target(LIMITS[connections], least=True)),
        beside("messages a second", mine.rate, other.rate),
        beside("CPU of a message", mine.cpu, other.cpu),
    ]
