from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sending.office import POP, Office, office


@pytest.fixture
async def ready(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        await opened.get_token(POP)
        yield opened
