"""Who takes part: the worker and its peers, and one of them as a process seen from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.peers import PEERS, SPLITS, TOTALS, of_python
from ingest.stores import documents

ROOT: Final = Path(__file__).parent.parent
STOP_SECONDS: Final = 30
_PROCESS_CLOCK: Final = 2  # of all threads, those that ended too (Linux, clock_getcpuclockid)


class Contestant(NamedTuple):
    """A way from the topic into the store: its module, and where it stores what."""

    name: str
    label: str
    versions: Callable[[], str]
    lacks: tuple[str, ...]
    can_run: bool
    command: tuple[str, ...]
    events: str = "events"
    totals: str = "daily_totals"
    counted: str = "events"  # the field of a total that counts its events

    @property
    def has_totals(self) -> bool:
        return TOTALS not in self.lacks

    @property
    def splits(self) -> bool:
        return SPLITS not in self.lacks

    def documents(self, *, records: int, messages: int) -> int:
        """How many documents of events these make."""
        return records if self.splits else messages


WORKER: Final = Contestant(
    "worker",
    "ingest worker",
    of_python("ingest", "faust-streaming", "pymongo"),
    (),
    can_run=True,
    command=("-m", "ingest", "worker"),
    events=documents.EVENTS,
    totals=documents.TOTALS,
    counted="events_count",
)


def contestants(names: Sequence[str] | None = None) -> list[Contestant]:
    """The worker, then its peers; those of these names, or all."""
    peers = [
        Contestant(
            *(peer.module, peer.label, peer.versions, peer.lacks, peer.can_run),
            command=("-m", f"benchmarks.peers.{peer.module}"),
        )
        for peer in PEERS
    ]
    return [one for one in (WORKER, *peers) if names is None or one.name in names]


class Running:
    """A contestant's process, on the first core; what it writes goes to a file of its folder."""

    def __init__(
        self, contestant: Contestant, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._log = folder / "log"
        with self._log.open("ab") as output, _on_core(0):
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, *contestant.command],
                cwd=folder,  # Faust and Quix leave folders where they run
                env={
                    **os.environ,
                    **environment,
                    "PYTHONPATH": str(ROOT),
                    "TMPDIR": str(folder),  # so that what the connector leaves goes with it
                },
                stdout=output,
                stderr=output,
            )
        self._clock = ~self._process.pid << 3 | _PROCESS_CLOCK

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        return time.clock_gettime(self._clock)

    def peak_mib(self) -> float:
        """The most memory that it had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def last_words(self) -> str:
        """The last line that it wrote."""
        return self._log.read_text(errors="replace").strip().rpartition("\n")[2][-200:]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order, or at once if that takes too long."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def _on_core(number: int) -> Iterator[None]:
    """What is started meanwhile stays on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
