"""What pages name exists, and what exists is named."""

import re
import tomllib
from pathlib import Path

import pytest

from mailbearer.admin import fields, providers as provider_desk
from mailbearer.model.message import MessageState
from mailbearer.model.token import TokenStatus
from mailbearer.observe import metrics
from mailbearer.observe.maillog import Verb
from mailbearer.sentences import SENTENCES
from tests.docs.reading import DOCS, PAGES, ROOT, anchors_of, name_of, prose_of, text_of

SOURCE = ROOT / "src" / "mailbearer"
LINK = re.compile(r"\]\(([^)\s]+)\)")
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
SIGNS = sorted(sign for sign in SOURCE.rglob("__init__.py"))


def local_links(page: Path) -> list[tuple[str, str]]:
    """Return path and anchor of every link that stays in this repository."""
    found = [link for link in LINK.findall(prose_of(page)) if "://" not in link and not link.startswith("mailto:")]
    return [(link.partition("#")[0], link.partition("#")[2]) for link in found]


def pages_named(text: str) -> list[Path]:
    """Return the pages that a text of the source names, decisions by their number alone too."""
    pages = [ROOT / name for name in re.findall(r"\b(docs/[\w/.-]+\.md|[A-Z]{5,}\.md)\b", text)]
    numbers = re.findall(r"docs/decisions/(\d{4})\b(?![\w-]*\.md)", text)
    return [*pages, *(DOCS / "decisions" / number for number in numbers)]


def exists(page: Path) -> bool:
    return page.is_file() or (page.name.isdigit() and any(page.parent.glob(f"{page.name}-*.md")))


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in local_links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors_of(target), f"{path}#{anchor}"


def test_every_page_is_listed() -> None:
    index = DOCS / "index.md"
    listed = {(DOCS / path).resolve() for path, _ in local_links(index)}
    assert not [name_of(page) for page in PAGES if page not in listed and page != index]


# -- names of the source ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", SIGNS, ids=name_of)
def test_the_page_on_a_door_exists(sign: Path) -> None:
    named = pages_named(text_of(sign))
    assert named, "a door sign names the page that tells more"
    assert not [page.name for page in named if not exists(page)]


@pytest.mark.parametrize("folder", ["src", "tools", "packaging", "tests"])
def test_every_page_that_a_file_names_exists(folder: str) -> None:
    kinds = {".py", ".json", ".sql", ".service", ""}
    files = [file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix in kinds]
    named = {
        (name_of(file), name_of(page))
        for file in files
        if file != Path(__file__)
        for page in pages_named(file.read_text("utf-8"))
        if not exists(page)
    }
    assert not named


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_reference_on_a_page_is_in_the_table(page: Path) -> None:
    assert not set(re.findall(r"\bMB-[A-Z]\d\d\b", text_of(page))) - SENTENCES.keys()


def test_the_places_of_the_architecture_exist() -> None:
    table = text_of(ROOT / "ARCHITECTURE.md").partition("## Where do I change")[2].partition("## What is never")[0]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE)[2:]
    assert len(rows) >= 30
    for row in rows:
        places = re.findall(r"`([^`]+)`", row)
        assert places, row
        assert not [place for place in places if not (SOURCE / place).exists() and not (ROOT / place).exists()]


def test_every_room_stands_in_the_drawing() -> None:
    drawing = text_of(ROOT / "ARCHITECTURE.md").partition("```")[2].partition("```")[0]
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    files = {path.name for path in SOURCE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert not {name for name in {f"{room}/" for room in rooms} | files if name not in drawing}


# -- words -----------------------------------------------------------------------------------------------------------


def test_all_words_of_status_queue_and_log_are_explained() -> None:
    words = text_of(DOCS / "troubleshooting.md")
    assert not [word for word in TokenStatus if f"| {word} |" not in words]
    states = text_of(DOCS / "sending.md") + words + text_of(DOCS / "observing.md")
    assert not [state for state in MessageState if not re.search(rf"^\| (\w+, )?{state}\b", states, re.MULTILINE)]
    assert not [verb for verb in Verb if f"\n| {verb} |" not in text_of(DOCS / "observing.md")]


def test_all_metrics_are_explained() -> None:
    page = text_of(DOCS / "observing.md")
    totals = {f"{each.name}_total" if each.type == "counter" else each.name for each in metrics.REGISTRY.collect()}
    assert totals == set(re.findall(r"^\| `(mailbearer_\w+)(?:\{\w+\})?` \|", page, re.MULTILINE))


def test_the_fields_of_a_registration_are_described() -> None:
    page = text_of(DOCS / "command-line.md")
    assert not [name for name in provider_desk._REGISTRATION if f"| `{name}` |" not in page]
    assert not [name for name in provider_desk._OWN if f"{name}=" not in page]


def test_every_field_that_a_page_sets_exists() -> None:
    known = {*fields.SMTP_FIELDS, *fields.POP_FIELDS}
    for page in PAGES:
        for rest in re.findall(r"mailbearer service set \S+((?: [a-z_]+=[^\s`]+)+)", text_of(page)):
            assert set(re.findall(r" ([a-z_]+)=", rest)) <= known, (name_of(page), rest)


# -- decisions -------------------------------------------------------------------------------------------------------


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_says_what_it_must_on_one_page(page: Path) -> None:
    text = text_of(page)
    assert text.startswith(f"# {page.name[:4]} ")
    assert re.search(r"^(\*\*|## )Context", text, re.MULTILINE)
    assert re.search(r"^(\*\*|## )Decision", text, re.MULTILINE)
    assert re.search(r"Reconsider|What would make us", text)
    assert len(text.splitlines()) <= 60


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    needed = {re.split(r"[<>=; ]", line)[0] for line in project["dependencies"]}
    table = text_of(DOCS / "decisions" / "0002-dependencies.md").partition("**Left out")[0]
    assert set(re.findall(r"^\| ([a-z0-9-]+) \|", table, re.MULTILINE)) - {"package"} == needed
