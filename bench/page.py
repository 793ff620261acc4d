"""docs/figures.md: below each line ``<!-- bench NAME -->`` stands what that bench gave last."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/figures.md"


def put(name: str, shown: str, page: Path = PAGE) -> None:
    """Put what the bench ``name`` gave into the page."""
    text = page.read_text(encoding="utf-8")
    mark = f"<!-- bench {name} -->\n"
    if mark not in text:
        raise ValueError(f"{page} has no place for {name}: the line {mark.strip()}")
    block = re.compile(re.escape(mark) + r"(?:```\n.*?```\n)?", re.DOTALL)
    page.write_text(block.sub(lambda _: f"{mark}```\n{shown}\n```\n", text, count=1), encoding="utf-8")
