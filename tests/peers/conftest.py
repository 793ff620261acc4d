"""The servers that others wrote: started once for all tests below this folder, on one worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.gateway import Gateway, open_gateway
from tests.peers.machine import Machine
from tests.peers.stack.children import required
from tests.peers.stack.servers import missing
from tests.peers.stack.stack import Stack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all tests of this folder on one worker (``--dist loadgroup``): they share one set of servers."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("peers")
            item.add_marker(pytest.mark.xdist_group("peers"))


@pytest.fixture(scope="session")
def _running() -> Iterator[Stack]:
    why = missing()
    if why and required():
        pytest.fail(why)
    if why:
        pytest.skip(why)
    with Stack.started() as stack:
        yield stack


@pytest.fixture
def stack(_running: Stack) -> Stack:
    """The running provider, without what the test before has set: faults, policy, journal, disabled accounts."""
    _running.reset()
    return _running


@pytest.fixture
def machine(stack: Stack, tmp_path: Path) -> Iterator[Machine]:
    """A machine with an empty data folder beside the provider."""
    machine = Machine(tmp_path, stack)
    yield machine
    machine.close()


@pytest.fixture(scope="session")
def _gateway(_running: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with open_gateway(tmp_path_factory.mktemp("gateway"), _running) as gateway:
        yield gateway


@pytest.fixture
def gateway(_gateway: Gateway, stack: Stack) -> Gateway:
    """The running gateway with its devices, in front of the provider."""
    return _gateway
