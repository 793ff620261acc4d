"""``python -m bench [NAME…] [--small] [--page] [--json FILE]``: measures and prints the table."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import access, idle_memory, one_renewal, page, ready, thousand, token_path, version
from bench.figures import Figure, table
from bench.gateway import accept, discard, encrypted, end_to_end, idle, kill, large, sign_ins, trips
from bench.machine import machine_line
from bench.sizes import FULL, SMALL, Size

HOUSE: dict[str, Callable[[Path, Size], list[Figure]]] = {
    "version": version.measure,
    "access": access.measure,
    "ready": ready.measure,
    "memory": idle_memory.measure,
    "one-renewal": one_renewal.measure,
    "thousand": thousand.measure,
    "token-path": token_path.measure,
}
GATEWAY: dict[str, Callable[[Path, Size], list[Figure]]] = {
    "discard": discard.measure,
    "accept": accept.measure,
    "end-to-end": end_to_end.measure,
    "encrypted": encrypted.measure,
    "sign-ins": sign_ins.measure,
    "100-kib": end_to_end.measure_large,
    "trips": trips.measure,
    "20-mib": large.measure,
    "idle-tls": idle.measure,
    "kill": kill.measure,
}
BENCHES = HOUSE | GATEWAY
GROUPS = {"house": tuple(HOUSE), "gateway": tuple(GATEWAY)}


def main(words: list[str]) -> int:
    """Measure what ``words`` name; return 1 when a target was missed."""
    arguments = _arguments(words)
    size = SMALL if arguments.small else FULL
    machine = machine_line()
    print(machine, flush=True)
    figures: list[Figure] = []
    for name in _named(arguments.names):
        print(f"{name} …", file=sys.stderr, flush=True)
        measured = measure(name, size)
        if arguments.page:
            page.put(name, f"{machine}\n\n{table(measured)}")
        figures += measured
    print(f"\n{table(figures)}")
    if arguments.json:
        told = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
        arguments.json.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if all(figure.reached for figure in figures) else 1


def measure(name: str, size: Size) -> list[Figure]:
    """Measure in a folder of its own, which other users may search: Postfix changes users."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        Path(folder).chmod(0o711)
        return BENCHES[name](Path(folder), size)


def _named(words: list[str]) -> list[str]:
    """Return the benches that ``words`` name, alone or as a group; all if there are none."""
    return [name for word in words or GROUPS for name in GROUPS.get(word, (word,))]


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the figures of docs/figures.md.")
    known = ", ".join((*GROUPS, *BENCHES))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all if left out: {known}")
    parser.add_argument("--small", action="store_true", help="the smallest size: shows that it works, measures nothing")
    parser.add_argument("--page", action="store_true", help="put the tables into docs/figures.md as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to FILE as well")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.names if name not in BENCHES and name not in GROUPS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {known}")
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
