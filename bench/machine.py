"""What /proc tells: the machine, and the CPU time and memory of a process."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

KB = 1024 / 1e6  # kB of /proc in MB


@dataclass(frozen=True, slots=True)
class Memory:
    """MB of a process: ``rss`` all that is in memory for it; ``pss`` with what it shares divided by the sharers."""

    rss: float
    pss: float


def machine_line() -> str:
    """Return cores, CPU, memory, kernel, Python and how busy the machine is with other things."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    cpu = found[1].strip() if found else platform.machine()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"{os.cpu_count()} cores · {cpu} · {pages / 1e9:.0f} GB · Linux {platform.release()} · {python} · "
        f"load {os.getloadavg()[0]:.1f}"
    )


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of ``pid`` until now, to the nanosecond (those that ended are left out)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


def memory(pid: int) -> Memory:
    """Return the memory of ``pid`` now."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = {name: int(size) for name, size in re.findall(r"^(Rss|Pss):\s+(\d+) kB$", text, re.MULTILINE)}
    return Memory(found["Rss"] * KB, found["Pss"] * KB)
