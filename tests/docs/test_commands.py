"""Every command that a page names exists with its options, and every command is described."""

import re
from pathlib import Path

import click
import pytest

from mailbearer.cli.main import COMMANDS, mailbearer
from tests.docs.reading import DOCS, PAGES, code_of, name_of, text_of

CALL = re.compile(r"(?<![\w/.-])(?<!-u )mailbearer((?: --data \S+)?) ([a-z][a-z-]*)\b([^|)]*)")
GLOBAL = {"--help", "--version", "--data"}


def command(name: str) -> click.Command:
    found = mailbearer.get_command(click.Context(mailbearer), name)
    assert found is not None
    return found


def leaves() -> dict[tuple[str, ...], click.Command]:
    """Return every command that does something: its words, and itself."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name in COMMANDS:
        top = command(name)
        if isinstance(top, click.Group):
            found |= {(name, each): inner for each, inner in top.commands.items()}
        else:
            found[name,] = top
    return found


LEAVES = leaves()
GROUPS = {words[0] for words in LEAVES if len(words) > 1}


def calls(page: Path) -> list[tuple[str, str]]:
    """Return the first word and the rest of everything on ``page`` that is a call of the program."""
    return [(first, rest) for code in code_of(page) for _, first, rest in CALL.findall(code)]


def words_of(first: str, rest: str) -> tuple[str, ...]:
    following = rest.split()[:1]
    if first in COMMANDS and isinstance(command(first), click.Group) and following != ["--help"]:
        return (first, *following)
    return (first,)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_on_a_page_exists(page: Path) -> None:
    named = {words_of(first, rest) for first, rest in calls(page)}
    assert not {words for words in named if words not in LEAVES and words[0] not in GROUPS}
    assert not {words for words in named if words not in LEAVES and len(words) > 1}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_of_a_command_on_a_page_exists(page: Path) -> None:
    for first, rest in calls(page):
        words = words_of(first, rest)
        if words not in LEAVES:
            continue  # the test above tells
        known = {option for each in LEAVES[words].params for option in (*each.opts, *each.secondary_opts)}
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)) <= known | GLOBAL, (words, rest)


@pytest.mark.parametrize("words", sorted(LEAVES), ids=" ".join)
def test_every_command_has_its_place_on_the_page_of_commands(words: tuple[str, ...]) -> None:
    headings = re.findall(r"^### (.+)$", text_of(DOCS / "command-line.md"), re.MULTILINE)
    assert any(f"`mailbearer {' '.join(words)}" in heading for heading in headings)


@pytest.mark.parametrize("words", sorted(LEAVES), ids=" ".join)
def test_every_option_is_described(words: tuple[str, ...]) -> None:
    page = text_of(DOCS / "command-line.md")
    options = {each.opts[0] for each in LEAVES[words].params if isinstance(each, click.Option) and each.name != "help"}
    assert not {option for option in options if option not in page}
