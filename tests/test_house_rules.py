"""What CONVENTIONS.md asks for and no other tool looks at."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mailbearer import errors, sentences

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/mailbearer"
EDGES = {"net", "store", "config", "control"}  # the rooms that read bytes of others: there a cast says what they are
LONGEST_MODULE = 500  # lines; past 400, look for the second noun inside
MODULES = sorted(SOURCE.rglob("*.py"))
PACKAGES = [module for module in MODULES if module.name == "__init__.py" and module.parent != SOURCE]
PYTHON = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "tools").rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(), str(module))


def imports_of(module: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: Path) -> str:
    return module.relative_to(SOURCE).parts[0]


# -- the sign on the door --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_each_package_has_a_sign_on_its_door(package: Path) -> None:
    sign = ast.get_docstring(tree_of(package)) or ""
    assert len(re.findall(r"[.:](?=\s|$)", sign)) >= 2, "what lives here, what may not, which page tells more"


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_a_door_sign_is_not_a_second_name_for_what_is_inside(package: Path) -> None:
    assert len(tree_of(package).body) == 1, "no code and no re-exports in __init__.py"


def test_each_folder_with_modules_is_a_package() -> None:
    assert [name_of(module) for module in MODULES if not (module.parent / "__init__.py").exists()] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_says_what_lives_in_it_and_is_not_too_long(module: Path) -> None:
    assert ast.get_docstring(tree_of(module))
    assert len(module.read_text().splitlines()) <= LONGEST_MODULE


# -- errors ----------------------------------------------------------------------------------------------------------


def drawn() -> dict[str, str]:
    """Read the drawing at the top of errors.py: class → its base."""
    bases: dict[str, str] = {}
    path: list[str] = []
    for indent, name in re.findall(r"^([│├└─ ]*)([A-Z]\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        path[depth:] = [name]
        bases[name] = path[depth - 1] if depth else "Exception"
    return bases


def test_drawing_of_the_errors_is_the_classes() -> None:
    classes = inspect.getmembers(errors, lambda item: inspect.isclass(item) and issubclass(item, Exception))
    assert drawn() == {name: found.__base__.__name__ for name, found in classes}


def test_drawing_says_what_the_classes_say() -> None:
    assert "MailbearerError" in drawn()
    assert all(inspect.getdoc(getattr(errors, name)) for name in drawn())


def codes_used() -> dict[str, str]:
    """Every code that a module names: code → one module that does."""
    return {
        code: name_of(module)
        for module in MODULES
        if module.name != "sentences.py"
        for code in re.findall(r"\bMB-[A-Z]\d\d\b", module.read_text())
    }


def test_each_code_that_is_used_has_its_sentences() -> None:
    assert {code: where for code, where in codes_used().items() if code not in sentences.SENTENCES} == {}


def test_there_is_one_tree_of_errors() -> None:
    """A module has no public exception of its own: doors tell errors apart by the tree alone."""
    own = {
        (name_of(module), node.name)
        for module in MODULES
        if module != SOURCE / "errors.py"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for base in node.bases
        if isinstance(base, ast.Name) and base.id.endswith(("Error", "Exception"))
    }
    assert own == set()


# -- time, types, waivers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_only_the_clock_reads_the_clock(module: Path) -> None:
    if module == SOURCE / "clock.py":
        return
    text = module.read_text()
    assert not {"time", "time.monotonic", "time.time", "time.perf_counter"} & set(imports_of(module))
    assert not re.search(r"\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|\bloop\.time\(\)", text)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_types_are_told_not_forced(module: Path) -> None:
    named = set(imports_of(module))
    assert "typing.Any" not in named
    assert room_of(module) in EDGES or "typing.cast" not in named


def test_each_waiver_names_its_rule_and_its_reason() -> None:
    bare = [
        f"{name_of(path)}:{number}"
        for path in PYTHON
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*noq[a]\b", line) and not re.search(r"# noq[a]: [A-Z]+\d+(, [A-Z]+\d+)* - \S", line)
    ]
    assert bare == []


def test_no_work_is_left_in_comments() -> None:
    left = re.compile(r"#.*\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    assert [name_of(path) for path in PYTHON if left.search(path.read_text())] == []


# -- tests and locks -------------------------------------------------------------------------------------------------


def test_tests_of_equal_names_do_not_collide() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_room_of_the_source_stands_in_the_import_contracts() -> None:
    placed = set(re.findall(r"[a-z_]\w+", (ROOT / ".importlinter").read_text()))
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} - placed == set()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.lock")), ids=name_of)
def test_python_lock_pins_hashes_and_names_no_host(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    pinned = [line for line in lines if re.match(r"\S+==\S+", line)]
    assert pinned
    assert all(re.fullmatch(r"\S+==\S+( ; .*)? \\", line) for line in pinned), "a version and at least one hash each"
    assert "://" not in "\n".join(lines)


def test_lock_of_the_tools_holds_every_line_of_the_lock_of_the_product() -> None:
    """tools/setup relies on it: whoever has installed dev.lock needs no run.lock."""
    run, dev = (
        set(re.findall(r"^\S+==\S+", (ROOT / f"requirements/{lock}.lock").read_text(), re.MULTILINE))
        for lock in ("run", "dev")
    )
    assert run - dev == set()


def test_npm_lock_pins_hashes_and_names_no_host() -> None:
    lock = json.loads((ROOT / "tests/peers/stack/oauth/package-lock.json").read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert packages
    assert all("integrity" in entry and "resolved" not in entry for entry in packages.values())
