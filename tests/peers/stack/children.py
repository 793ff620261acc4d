"""Programs that run beside the tests, in a folder of their own, and end with them, whatever happens to the tests.

Each is our child, in the foreground, in a session of its own. A guard reads the sessions from a pipe that only we hold
open: when the pipe ends, because we are done or because we were killed, it kills them and removes the folder.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

POSTFIX_MASTER = Path("/usr/lib/postfix/sbin/master")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
HOST = "127.0.0.1"
GUARD = 'while read -r session; do all="$all -$session"; done; kill -KILL $all; rm -rf -- "$0"'
READY_WITHIN = 20.0  # seconds; it takes 1.5 on an idle machine


class Children:
    """The programs that run in ``folder``; made by :func:`nursery`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._guard = subprocess.Popen(["/bin/sh", "-c", GUARD, folder], stdin=subprocess.PIPE, start_new_session=True)

    @property
    def pids(self) -> dict[str, int]:
        """Their process ids, by name."""
        return {name: child.pid for name, child in self._children.items()}

    def run(self, name: str, *command: object, **environment: str) -> None:
        """Start one; what it writes is in ``log/NAME.out``."""
        (self.folder / "log").mkdir(exist_ok=True)
        with (self.folder / f"log/{name}.out").open("wb") as out:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={"PATH": PATH, "LC_ALL": "C.UTF-8", **environment},
                start_new_session=True,
            )
        self._children[name] = child
        assert self._guard.stdin
        self._guard.stdin.write(b"%d\n" % child.pid)
        self._guard.stdin.flush()

    def alive(self) -> None:
        """Raise, with the end of its log, when one of them has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise RuntimeError(f"{name} ended with {child.returncode}:\n{self.logs(name)}")

    def wait_until(self, works: Callable[[], object]) -> None:
        """Wait until ``works`` raises no more OSError or RuntimeError."""
        until = time.monotonic() + READY_WITHIN
        while True:
            self.alive()
            try:
                works()
            except (OSError, RuntimeError) as problem:
                if time.monotonic() > until:
                    logs = "\n".join(self.logs(name) for name in self._children)
                    raise RuntimeError(f"not ready: {problem}\n{logs}") from problem
                time.sleep(0.02)
            else:
                return

    def logs(self, name: str) -> str:
        """Return the last lines that the program of this name wrote."""
        written = [path for path in sorted((self.folder / "log").glob(f"{name}*")) if path.stat().st_size]
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-3000:]}" for path in written)

    def stop(self) -> None:
        """End them and everything they started, and remove the folder."""
        self._guard.communicate()
        for child in self._children.values():
            child.wait()


@contextmanager
def nursery(name: str) -> Iterator[Children]:
    """Have a new folder, searchable by other users, and the programs in it until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"mailbearer-{name}-", dir="/tmp"))
    folder.chmod(0o755)
    children = Children(folder)
    try:
        yield children
    finally:
        children.stop()


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Return a port for each name that nobody uses now."""
    with ExitStack() as held:
        found: dict[str, int] = {}
        for name in names:
            listener = held.enter_context(socket.socket())
            listener.bind((HOST, 0))
            found[name] = listener.getsockname()[1]
        return found


def make_postfix_folders(folder: Path) -> None:
    """Make ``postfix/data`` and ``postfix/queue``, with the owners and modes that Postfix asks for.

    Its own start script (a survey of modes and owners, 0.7 s) is not needed then.
    """
    for name in ("log", "postfix/data", "postfix/queue"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.chown(folder / "postfix/data", "postfix")
    public = {"public": 0o710, "maildrop": 0o730}
    for name in (
        *("pid", "private", "incoming", "active", "bounce", "corrupt", "defer", "deferred"),
        *("flush", "hold", "saved", "trace", *public),
    ):
        made = folder / "postfix/queue" / name
        made.mkdir()
        made.chmod(0o755 if name == "pid" else public.get(name, 0o700))
        if name != "pid":
            shutil.chown(made, "postfix", "postdrop" if name in public else None)


def required() -> bool:
    """Tell whether what is not here is a failure: on build machines, and where somebody says so."""
    return bool(os.environ.get("CI") or os.environ.get("MAILBEARER_REQUIRE_PEERS"))
