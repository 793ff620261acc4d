"""A disk that gets full under a service that runs: 452, nothing half accepted, and on it goes once there is room."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.gate import Gate, guest, letter, post, until
from tests.gateway.kill import LISTENER, body_of
from tests.gateway.sink import Sink

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("gateway"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount"),
]


@contextmanager
def small_disk(folder: Path, size: str) -> Generator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Take all the room that there is."""
    with file.open("ab", buffering=0) as content:
        for size in (1_000_000, 4_096, 1):
            try:
                while content.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


@pytest.mark.parametrize("size", ["12m", "20m"])
def test_a_queue_that_fills_the_disk(tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk, Sink() as sink:
        sink.check = lambda name, body: body == body_of(name)
        sink.shut()
        gate = Gate(disk / "data", sink.port, mail=LISTENER)
        accepted: list[str] = []
        with gate.serving() as serving:
            refused = fill_queue(gate, accepted)
            assert set(refused) == {"452 4.3.1 No space for the message, try again later"}
            assert accepted
            gate.run("service", "list")  # a full disk stops no command either
            serving.kill()  # and with a full disk the service starts again
        with gate.serving() as serving:
            sink.open()
            gate.run("queue", "flush")
            assert sink.wait_for(lambda: set(accepted) <= sink.copies.keys())
            until(lambda: goes_again(gate, accepted))
            assert sink.wait_for(lambda: set(accepted) <= sink.copies.keys())
            assert "Traceback" not in "".join(serving.said)
        assert sink.copies.keys() == set(accepted), "nothing that was refused was sent"
        assert (sink.spoilt, sink.repeated) == ([], [])


def fill_queue(gate: Gate, accepted: list[str]) -> list[str]:
    """Send until nothing was taken ten times in a row; return how that was told."""
    refused: list[str] = []
    with guest(gate.ports["mail"]) as client:
        for number in range(100_000):
            name = f"full.{number}@x.example"
            told = post(client, name, body_of(name))
            if told.startswith("250 "):
                accepted.append(name)
                refused.clear()
            else:
                refused.append(told)
            if len(refused) == 10:
                break
    return refused


def goes_again(gate: Gate, accepted: list[str]) -> bool:
    with guest(gate.ports["mail"]) as client:
        name = f"again.{len(accepted)}@x.example"
        told = post(client, name, body_of(name))
        if told.startswith("250 "):
            accepted.append(name)
        return told.startswith("250 ")


def test_others_fill_the_disk_to_the_last_octet_in_the_middle_of_a_message(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "60m") as disk, Sink() as sink:
        gate = Gate(disk / "data", sink.port, mail=LISTENER)
        with gate.serving() as serving, guest(gate.ports["mail"]) as client:
            assert post(client, "before@x.example").startswith("250 ")
            assert sink.wait_for(lambda: sink.copies["before@x.example"] == 1)
            client.ask(b"MAIL FROM:<scan@clinic.example>", b"RCPT TO:<ada@x.example>", b"DATA")
            client.send(letter("large@x.example"))
            line = b"x" * 998 + b"\r\n"
            client.send(line * 1_000)
            fill(disk / "others")
            client.send(line * 20_000)
            assert client.ask(b".").startswith("452 4.3.1 ")
            names = [f"small-{each}@x.example" for each in range(5)]
            told = {name: post(client, name)[:9] for name in names}  # what is in preallocated files has room
            assert set(told.values()) <= {"452 4.3.1", "250 2.0.0"}, told
            (disk / "others").unlink()
            until(lambda: post(client, "after@x.example").startswith("250 "))
            assert sink.wait_for(lambda: sink.copies["after@x.example"] >= 1)
            assert "Traceback" not in "".join(serving.said)
            small = {name for name, reply in told.items() if reply.startswith("250")}
            wanted = {"before@x.example", "after@x.example", *small}
            assert sink.wait_for(lambda: sink.copies.keys() >= wanted)
        assert sink.copies.keys() == wanted
