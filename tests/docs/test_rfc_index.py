import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mailbearer"
INDEX = (ROOT / "docs" / "rfc-index.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d{3,5}) \|", INDEX, re.MULTILINE)


def test_every_rfc_that_the_source_names_is_in_the_index() -> None:
    named = {
        (number, str(path.relative_to(SOURCE)))
        for path in SOURCE.rglob("*.py")
        for number in re.findall(r"\bRFC\s+(\d{3,5})\b", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not sorted(each for each in named if each[0] not in ROWS)


def test_every_place_in_the_index_exists() -> None:
    rows = "".join(line for line in INDEX.splitlines() if line.startswith("|"))
    places = re.findall(r"`([a-z][\w/]*/(?:\w+\.py)?)`", rows)
    assert places
    assert not sorted(place for place in places if not (SOURCE / place).exists())


def test_no_rfc_is_in_the_index_twice() -> None:
    assert len(ROWS) == len(set(ROWS))
