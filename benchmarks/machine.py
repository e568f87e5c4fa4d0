"""What the figures were taken on, and whether anything else ran meanwhile."""

import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    *("pydantic", "orjson", "faust-streaming", "aiokafka", "pymongo", "motor"),
    *("quixstreams", "confluent-kafka", "fastapi", "uvicorn", "httptools"),
)
TICKS: Final = os.sysconf("SC_CLK_TCK")
BUSY_SHARE: Final = 0.05  # of one core, by others: from here on a report says so


def machine() -> dict[str, Any]:
    """Its processor, cores, memory and system."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": model[1].strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else None,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def name_of(found: dict[str, Any]) -> str:
    """The machine in a file's name."""
    words = re.findall(r"[a-z0-9.]+", re.sub(r"\(.*?\)", "", str(found["processor"]).lower()))
    return "-".join([f"{found['cores']}-core", *words[:4]])


def versions() -> dict[str, str]:
    """What is installed of what the figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@contextmanager
def watched(section: dict[str, Any]) -> Iterator[None]:
    """Note how long a section took, and how much of a core others used or the host withheld."""
    others, steal, started = _others_seconds(), _steal_seconds(), time.monotonic()
    yield
    seconds = time.monotonic() - started
    section["seconds"] = seconds
    section["others_share"] = max(0.0, _others_seconds() - others) / seconds
    section["steal_share"] = (_steal_seconds() - steal) / seconds


def _others_seconds() -> float:
    """CPU seconds of all that is not this process or started by it, since the machine began."""
    user, nice, system, _, _, irq, softirq, *_ = _machine_ticks()
    mine = os.times()
    own = mine.user + mine.system + mine.children_user + mine.children_system
    return (user + nice + system + irq + softirq) / TICKS - own - _alive_below(os.getpid())


def _steal_seconds() -> float:
    return _machine_ticks()[7] / TICKS


def _machine_ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]


def _alive_below(pid: int) -> float:
    """CPU seconds of the processes below one, and of those they have waited for."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ended meanwhile
            for child in (task / "children").read_text().split():
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / TICKS + _alive_below(int(child))
    return total
