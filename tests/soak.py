"""Two workers on a real broker and a real store under constant load, while everything goes wrong.

Run it with `make soak MINUTES=30`. At the end nothing goes wrong any more; then store and topic
must hold the truth. The last line says what was sent, what went wrong, how many differences were
found, and the peak memory of each kind of process; the exit status is 1 if there is a difference.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ingest.core.codec import decode
from ingest.core.timestamps import Window
from tests import mongodb
from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.e2e.workers import Fleet, Message, Worker, fleet_of, ordered, simulated, stored_in
from tests.kafka import broker
from tests.server_process import ServerProcess

MESSAGES_A_SECOND = 5  # the test server is slow
MESSAGES_A_USER_DAY = 47
USERS = 20
CATCH_UP_SECONDS = 900
SESSION_SECONDS = 6
ALL_TIME_MS = 1 << 42


class Services(NamedTuple):
    """What can be hurt."""

    broker: broker.Broker
    store: mongodb.Server
    fleet: Fleet


@contextmanager
def services() -> Iterator[Services]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        for name in ("kafka", "mongodb", "workers"):
            (folder / name).mkdir()
        kafka = stack.enter_context(broker.running(folder / "kafka"))
        store = stack.enter_context(mongodb.running(folder / "mongodb", "--sync-on-commit"))
        environment = broker.settings_of(kafka.address(), "soak") | stored_in(store.uri, "soak")
        environment |= {"LOG_LEVEL": "info", "BATCH_SIZE_MAX": "100"}
        yield Services(kafka, store, stack.enter_context(fleet_of(folder / "workers", environment)))


class Faults:
    """What goes wrong, one thing after the other, as a seed has it."""

    def __init__(self, hurt: Services, seed: int) -> None:
        self._hurt = hurt
        self._rng = random.Random(seed)  # noqa: S311 - the order of faults, no secret
        self.injected: Counter[str] = Counter()
        self.peaks: dict[str, float] = {}
        self._kinds: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_a_worker,
            "worker stopped": self._stop_a_worker,
            "worker frozen": self._freeze_a_worker,
            "store killed": lambda: self._restart(hurt.store),
            "broker killed": lambda: self._restart(hurt.broker),
            "store frozen": lambda: self._freeze(hurt.store),
        }

    def go_on_until(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            time.sleep(self._rng.uniform(3, 12))
            self.look_at_memory()
            kind = self._rng.choice([*self._kinds])
            self._kinds[kind]()
            self.injected[kind] += 1

    def look_at_memory(self) -> None:
        """Keep the peak memory of each kind of process, in MiB."""
        processes = {"broker": self._hurt.broker._process, "store": self._hurt.store._process}
        running = [worker.process for worker in self._hurt.fleet.workers if worker.is_running()]
        for name, process in [*processes.items(), *(("worker", process) for process in running)]:
            if process is not None and process.poll() is None:
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
                self.peaks[name] = max(self.peaks.get(name, 0), peak)

    def _worker(self) -> Worker:
        return self._rng.choice([w for w in self._hurt.fleet.workers if w.is_running()])

    def _kill_a_worker(self) -> None:
        self._worker().kill()
        self._hurt.fleet.start()

    def _stop_a_worker(self) -> None:
        assert self._worker().stop() == 0
        self._hurt.fleet.start()

    def _freeze_a_worker(self) -> None:
        worker = self._worker()
        worker.send(signal.SIGSTOP)
        time.sleep(self._rng.uniform(0.5, 2.5) * SESSION_SECONDS)
        worker.send(signal.SIGCONT)

    def _restart(self, server: ServerProcess) -> None:
        server.kill()
        time.sleep(self._rng.uniform(0, 8))
        server.start()

    def _freeze(self, server: ServerProcess) -> None:
        server.send(signal.SIGSTOP)
        time.sleep(self._rng.uniform(0, 8))
        server.send(signal.SIGCONT)


def differences(fleet: Fleet, truth: list[Message]) -> int:
    """How many days differ from the truth: in the store, in the topic, or by `db verify`."""
    found = 0
    for name, totals in (("store", fleet.stored()), ("topic", fleet.published_by_revision())):
        wrong = by_day(truth) ^ by_day(totals)
        found += len(wrong)
        for day in sorted(wrong)[:5]:
            print(f"the {name} differs from the truth: {day[0]} {day[1]}")
    verified = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, "db", "verify"],
        env=ENVIRONMENT | {"PYTHONPATH": str(Path.cwd())} | fleet.environment,
        check=False,
    )
    return found + (verified.returncode != 0)


def records_in(lines: Sequence[bytes]) -> int:
    """How many records these messages have; one that cannot be read counts as one."""
    return sum(decode(line, None, Window(0, ALL_TIME_MS)).records for line in lines)


def ended_by_themselves(fleet: Fleet) -> int:
    """How many workers ended in another way than they were made to."""
    ends = [worker.process.poll() for worker in fleet.workers]
    wrong = [end for end in ends if end not in (None, 0, -signal.SIGKILL)]
    if wrong:
        print(f"workers ended by themselves with status {wrong}")
    return len(wrong)


def by_day(totals: list[Message]) -> set[tuple[str, str, str]]:
    return {(t["user_id"], t["date"], repr(t)) for t in ordered(totals)}


def soak(minutes: float, seed: int) -> int:
    """The exit status."""
    messages = int(minutes * 60 * MESSAGES_A_SECOND)
    sent = simulated(USERS, max(1, messages // (USERS * MESSAGES_A_USER_DAY)), seed)
    with services() as hurt:
        hurt.fleet.started(2)
        faults = Faults(hurt, seed)
        with hurt.fleet.fed(sent.lines, seconds=minutes * 60):
            faults.go_on_until(time.monotonic() + minutes * 60)
        assert hurt.broker.is_running
        hurt.fleet.finish(CATCH_UP_SECONDS)
        faults.look_at_memory()
        found = differences(hurt.fleet, sent.truth) + ended_by_themselves(hurt.fleet)
        late = len(hurt.fleet.published_out_of_order())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.injected.items()))
    peaks = ", ".join(f"{name} {peak:.0f}" for name, peak in sorted(faults.peaks.items()))
    print(
        f"seed {seed}: {records_in(sent.lines):,} records, {faults.injected.total()} faults "
        f"({kinds}), {found} differences, {late} old revisions sent late, peak MiB: {peaks}"
    )
    return 1 if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    sys.exit(soak(arguments.minutes, arguments.seed))


if __name__ == "__main__":
    main()
