"""Ended, reloaded and started again in the middle of anything; commands beside the service, and without it."""

import signal
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.gateway.gate import COMMAND, Gate, Guest, guest, letter, post, until
from tests.gateway.kill import LISTENER
from tests.gateway.sink import Sink

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gateway")]

BEGIN = (b"MAIL FROM:<scan@clinic.example>", b"RCPT TO:<ada@x.example>", b"DATA")


@pytest.fixture
def sink() -> Generator[Sink]:
    with Sink() as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path, sink: Sink) -> Gate:
    return Gate(tmp_path / "data", sink.port, mail=LISTENER)


def begun(gate: Gate, name: str) -> Guest:
    """Return a client in the middle of a message."""
    client = Guest(gate.ports["mail"])
    client.hear()
    client.ask(b"EHLO guest", *BEGIN)
    client.send(letter(name))
    return client


def test_what_is_under_way_when_it_is_told_to_stop_comes_to_its_end(gate: Gate, sink: Sink) -> None:
    with gate.serving() as serving:
        whole, half, idle = begun(gate, "whole@x.example"), begun(gate, "half@x.example"), Guest(gate.ports["mail"])
        with whole, half, idle:
            idle.hear()
            serving.process.terminate()
            assert idle.hear().startswith("421 4.3.2 ")
            with pytest.raises(ConnectionRefusedError):
                Guest(gate.ports["mail"])
            assert whole.ask(b".").startswith("250 ")
            assert whole.rest().startswith(b"421 ")
            half.socket.close()
        assert serving.stop() == 0
    with gate.serving():
        assert sink.wait_for(lambda: sink.copies["whole@x.example"] == 1)
    assert sink.copies.keys() == {"whole@x.example"}


def test_half_a_message_is_none_after_a_power_cut(gate: Gate, sink: Sink) -> None:
    with gate.serving() as serving, begun(gate, "half@x.example") as client:
        client.send(b"x" * 500_000)  # it lies in a segment file by now
        serving.kill()
        assert client.rest() == b""
    with gate.serving():
        with guest(gate.ports["mail"]) as client:
            assert post(client, "after@x.example").startswith("250 ")
        assert sink.wait_for(lambda: sink.copies["after@x.example"] == 1)
    assert "half@x.example" not in sink.copies


def test_a_reload_disturbs_nobody(gate: Gate, sink: Sink) -> None:
    with gate.serving() as serving, begun(gate, "whole@x.example") as client:
        gate.configure(level="info")
        serving.process.send_signal(signal.SIGHUP)
        (gate.folder / "mailbearer.toml").write_text("nonsense")
        serving.process.send_signal(signal.SIGHUP)
        until(lambda: any("not taken over" in line for line in serving.said))
        assert client.ask(b".").startswith("250 ")
        assert post(client, "next@x.example").startswith("250 ")
        assert sink.wait_for(lambda: len(sink.copies) == 2)


def test_two_services_do_not_serve_one_folder(gate: Gate) -> None:
    with gate.serving():
        assert "MB-W25" in gate.run("serve").stderr


def test_commands_hand_in_while_the_service_is_killed_and_comes_back(gate: Gate, sink: Sink) -> None:
    codes: dict[str, int] = {}

    def hand_in(number: int) -> None:
        for each in range(3):
            name = f"command.{number}.{each}@x.example"
            code = "import sys; sys.argv[0] = 'sendmail'; from mailbearer.__main__ import main; main()"
            environment = {"MAILBEARER_DATA": str(gate.folder), "PATH": "/usr/bin:/bin"}
            codes[name] = subprocess.run(
                [Path(COMMAND).parent / "python", "-c", code, "-f", "scan@clinic.example", "ada@x.example"],
                input=letter(name), capture_output=True, check=False, env=environment,
            ).returncode  # fmt: skip

    workers = [threading.Thread(target=hand_in, args=(number,)) for number in range(3)]
    with gate.serving() as serving:
        for worker in workers:
            worker.start()
        assert sink.wait_for(lambda: bool(sink.copies))
        serving.kill()
    sink.next_round()
    with gate.serving():
        for worker in workers:
            worker.join()
        handed_in = {name for name, code in codes.items() if code == 0}
        gate.run("queue", "flush")
        assert sink.wait_for(lambda: handed_in <= sink.copies.keys())
    assert set(codes.values()) <= {0, 75}, codes
    assert len(handed_in) >= 3
    assert max(sink.copies.values()) <= 3
