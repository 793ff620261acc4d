"""The generated pages are those that the sources make."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE_DOCS = load()


@pytest.mark.parametrize("page", sorted(MAKE_DOCS.PAGES))
def test_a_generated_page_is_current(page: str) -> None:
    assert (ROOT / "docs" / f"{page}.md").read_text("utf-8") == MAKE_DOCS.PAGES[page](), "run make docs"


def test_an_unknown_page_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert MAKE_DOCS.main(["weather"]) == 2
    assert "errors" in capsys.readouterr().err
