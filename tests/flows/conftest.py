"""The house, opened for one test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.house import House, built


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with built(tmp_path) as house:
        yield house
