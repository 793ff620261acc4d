from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbearer.clock import SystemClock
from mailbearer.store.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "store", SystemClock())
    yield opened
    await opened.close()
