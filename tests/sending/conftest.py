from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sending.office import Office, office


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


@pytest.fixture
async def ready(here: Office) -> Office:
    await here.get_token()
    return here
