"""``python -m bench [NAME…] [--small] [--json FILE]``: measures and prints the table."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import access, idle_memory, one_renewal, ready, thousand, token_path, version
from bench.figures import Figure, table
from bench.machine import machine_line
from bench.sizes import FULL, SMALL, Size

BENCHES: dict[str, Callable[[Path, Size], list[Figure]]] = {
    "version": version.measure,
    "access": access.measure,
    "ready": ready.measure,
    "memory": idle_memory.measure,
    "one-renewal": one_renewal.measure,
    "thousand": thousand.measure,
    "token-path": token_path.measure,
}


def main(words: list[str]) -> int:
    """Measure what ``words`` name; return 1 when a target was missed."""
    arguments = _arguments(words)
    size = SMALL if arguments.small else FULL
    machine = machine_line()
    print(machine, flush=True)
    figures: list[Figure] = []
    for name in arguments.names or BENCHES:
        print(f"{name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            figures += BENCHES[name](Path(folder), size)
    print(f"\n{table(figures)}")
    if arguments.json:
        told = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
        arguments.json.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if all(figure.reached for figure in figures) else 1


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the figures of docs/figures.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all if left out: {', '.join(BENCHES)}")
    parser.add_argument("--small", action="store_true", help="the smallest size: shows that it works, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to FILE as well")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
