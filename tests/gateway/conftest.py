"""One gateway for a module: a service that runs, with a listener of each kind, and the provider behind it."""

from collections.abc import Generator
from dataclasses import dataclass

import pytest

from tests.gateway.gate import Gate, Serving
from tests.gateway.sink import Sink

ANYBODY = 'networks = ["127.0.0.0/8", "192.0.2.0/24"]\npasswords_in_clear = true\nsize_mb = 1\n'


@dataclass(frozen=True)
class House:
    """Everything that runs."""

    gate: Gate
    sink: Sink
    serving: Serving

    def port(self, name: str = "plain") -> int:
        return self.gate.ports[name]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    with Sink() as sink:
        gate = Gate(
            tmp_path_factory.mktemp("gateway") / "data",
            sink.port,
            plain=f'tls = "none"\n{ANYBODY}',
            implicit=f'tls = "implicit"\n{ANYBODY}',
            both='tls = "both"\npasswords_in_clear = false\nnetworks = ["127.0.0.0/8"]\nsize_mb = 1\n',
            behind=f'tls = "none"\n{ANYBODY}trusted_proxies = ["127.0.0.3"]\n',
            crowd=f'tls = "none"\n{ANYBODY}connections = 5_100\nconnections_per_address = 5_100\n',
        )
        with gate.serving() as serving:
            yield House(gate, sink, serving)
