"""Workers and a gateway on a real broker and store, watched by Prometheus while things go wrong.

    python -m tests.deploy.watch_for_real --minutes 8 --out ingest.png

It needs the extra `bench` and a `prometheus` on the path. In that time a stream with every fault
is sent, and some messages by HTTP, a worker is frozen for longer than its session, the store is
away while it is frozen again, and a worker is replaced; then the dashboard is drawn from what
Prometheus saw.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from urllib.request import Request

from tests.deploy import render_dashboard
from tests.e2e.environment import COMMAND
from tests.e2e.workers import Fleet, Worker, eventually, simulated
from tests.lines import event, events
from tests.mongodb import free_port
from tests.server_process import ServerProcess
from tests.soak import MESSAGES_A_USER_DAY, SESSION_SECONDS, USERS, Services, services

MESSAGES_A_SECOND = 10
SCRAPE_SECONDS = 2
STORE_AWAY_SECONDS = 40
FROZEN_SECONDS = 3 * SESSION_SECONDS
VISIT_SECONDS = 0.5


class Prometheus(ServerProcess):
    """A Prometheus of our own that scrapes these addresses, by job."""

    def __init__(self, folder: Path, scraped: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [*targets]}]}
            for name, targets in scraped.items()
        ]
        seconds = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
        configuration = {"global": seconds, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML too

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            *("prometheus", f"--config.file={self._folder / 'prometheus.yml'}"),
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.address}",
        ]
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.is_running, "Prometheus ended by itself"
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def watched(scraped: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """A Prometheus for as long as the block runs."""
    if shutil.which("prometheus") is None:
        raise SystemExit("there is no prometheus on the path")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        prometheus = Prometheus(Path(folder), scraped)
        try:
            prometheus.start()
            yield prometheus
        finally:
            prometheus.stop()


def started(fleet: Fleet, ports: list[int]) -> list[Worker]:
    workers = [fleet.start(WEB_PORT=str(port)) for port in ports]
    eventually(lambda: all(worker.is_working() for worker in workers))
    return workers


@contextmanager
def visited(gateway: str) -> Iterator[None]:
    """Push messages to a gateway and read their day again and again, while the block runs."""
    message = Request(
        f"http://{gateway}/v1/activity-events",
        data=events(event(1)),
        headers={"Content-Type": "application/json"},
    )
    asked = [
        message,
        Request(f"http://{gateway}/v1/users/u1/days"),
        Request(f"http://{gateway}/readyz"),
    ]
    is_over = Event()

    def visiting() -> None:
        while not is_over.wait(VISIT_SECONDS):
            for one in asked:
                with suppress(OSError):  # what is away is to be seen in the end
                    urllib.request.urlopen(one, timeout=20).close()  # noqa: S310 - our own

    with ThreadPoolExecutor(1) as thread:
        visits = thread.submit(visiting)
        try:
            yield
        finally:
            is_over.set()
        visits.result()


def disturb(hurt: Services, workers: list[Worker], port: int, pause_seconds: float) -> None:
    """Everything that a panel is there for, with time to see it come and go."""
    time.sleep(pause_seconds)
    _freeze(workers[1])
    time.sleep(pause_seconds)
    hurt.store.kill()
    time.sleep(STORE_AWAY_SECONDS - FROZEN_SECONDS)
    _freeze(workers[1])  # the other worker's batch is waiting for the store at this rebalance
    hurt.store.start()
    time.sleep(pause_seconds)
    assert workers[1].stop() == 0
    started(hurt.fleet, [port])
    time.sleep(pause_seconds)


def _freeze(worker: Worker) -> None:
    worker.send(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)
    worker.send(signal.SIGCONT)


def watch(minutes: float, out: Path) -> int:
    """Draw the dashboard of so many minutes, while the last messages are sent; the exit status."""
    pause_seconds = (minutes * 60 - FROZEN_SECONDS - STORE_AWAY_SECONDS) / 5
    days = round(minutes * 60 * MESSAGES_A_SECOND / USERS / MESSAGES_A_USER_DAY)
    ports = [free_port(), free_port()]
    gateway_port = free_port()
    gateway = f"127.0.0.1:{gateway_port}"
    scraped = {
        "ingest-worker": [f"127.0.0.1:{port}" for port in ports],
        "ingest-gateway": [gateway],
    }
    serving = (*COMMAND, "serve", "--port", str(gateway_port))
    began = time.monotonic()
    with services() as hurt, watched(scraped) as prometheus:
        workers = started(hurt.fleet, ports)
        hurt.fleet.start(serving, GATEWAY_MODE="kafka")
        lines = simulated(USERS, max(1, days)).lines
        with visited(gateway), hurt.fleet.fed(lines, seconds=minutes * 60):
            disturb(hurt, workers, ports[1], pause_seconds)
            span = str((time.monotonic() - began) / 60)
            options = ["--minutes", span, "--scrape-seconds", str(SCRAPE_SECONDS)]
            address = f"http://{prometheus.address}"
            return render_dashboard.main(["--prometheus", address, "--out", str(out), *options])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8, help="at least 2")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the servers too
    sys.exit(watch(arguments.minutes, arguments.out))


if __name__ == "__main__":
    main()
