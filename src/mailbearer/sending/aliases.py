"""Names without a domain, as cron and mdadm write them: who they are stands in ``/etc/aliases`` (aliases(5))."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mailbearer.model.envelope import is_address

ALIASES: Final = Path("/etc/aliases")
FILE_MAX: Final = 1_000_000  # octets
DEPTH_MAX: Final = 20
_ENTRY: Final = re.compile(r'\s*"?([^\s":#]+)"?\s*:(.*)')


def read_aliases(path: Path = ALIASES) -> dict[str, tuple[str, ...]]:
    """Return what each name stands for, empty when there is no such file; programs and files in it are left out."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX).decode("utf-8", "replace")
    except OSError:
        return {}
    entries: dict[str, tuple[str, ...]] = {}
    for line in re.sub(r"\n[ \t]+", " ", content).splitlines():
        found = _ENTRY.fullmatch(line)
        if found is not None:
            targets = (each.strip().strip('"') for each in found[2].split(","))
            entries[found[1].lower()] = tuple(each for each in targets if each and each[0] not in "|/:")
    return entries


def resolve(name: str, aliases: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the addresses that ``name`` stands for, empty when there are none."""
    found: dict[str, None] = {}
    waiting, seen = [name], set[str]()
    while waiting and len(seen) < DEPTH_MAX:
        each = waiting.pop(0)
        if is_address(each):
            found[each] = None
        elif each.lower() not in seen:
            seen.add(each.lower())
            waiting += aliases.get(each.lower(), ())
    return tuple(found)
