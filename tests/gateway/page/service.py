"""The service in a process of its own, as the page meets it, and what tests push to it."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.server_process import ServerProcess

ROOT = Path(__file__).parents[3]
SERVING = "ingest: serving "
SNAPSHOTS_OF_A_MESSAGE = 5_000
Record = dict[str, Any]


class Service(ServerProcess):
    """`ingest serve` on any free port; started again, on the same one."""

    def __init__(self, **settings: str) -> None:
        self._environment = {**ENVIRONMENT, **settings}
        self.address = ""

    def start(self) -> None:
        """Start it, and wait until it says where it serves."""
        port = self.address.rpartition(":")[2] or "0"
        self._process = process = subprocess.Popen(  # noqa: S603 - our own command
            [*COMMAND, "serve", "--port", port],
            env=self._environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(SERVING):
                self.address = line.removeprefix(SERVING).strip()
                break
        else:
            raise AssertionError("the service ended by itself")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # so that it never waits

    def wait(self) -> None:
        super().wait()
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.stderr.close()

    def push(self, kind: str, *messages: Record, key: str | None = None) -> Record:
        """Push messages to `activity-events` or `health-snapshots`; what became of them."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx.post(
            f"{self.address}/v1/{kind}", json=[*messages], headers=headers, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def serving(**settings: str) -> Iterator[Service]:
    """A service in memory for as long as the block runs."""
    service = Service(**settings)
    try:
        service.start()
        yield service
    finally:
        service.stop()


def snapshots(user: str, device: str, *snapshots: Record) -> Record:
    return {"user_id": user, "device_id": device, "source": "FITBIT", "snapshots": [*snapshots]}


def snapshot(day: str, time: str, steps: int, calories: float) -> Record:
    return {
        "date": day,
        "timestamp": f"{day}T{time}Z",
        "steps_total": steps,
        "calories_out_total": calories,
    }


def minutes(user: str, device: str, day: str, steps: int) -> Record:
    """A minute of each hour from 7 to 20."""
    events = [
        {"ts": f"{day}T{hour:02}:15:00Z", "steps": steps, "calories_out": 4.5, "hr_avg": 80}
        for hour in range(7, 21)
    ]
    return {"user_id": user, "device_id": device, "source": "MANUAL", "events": events}


def many_days(user: str, *, first: date, count: int) -> Iterator[Record]:
    """Messages with a snapshot of each of so many days."""
    days = [first + timedelta(days=place) for place in range(count)]
    for start in range(0, count, SNAPSHOTS_OF_A_MESSAGE):
        some = days[start : start + SNAPSHOTS_OF_A_MESSAGE]
        rows = [
            snapshot(day.isoformat(), "20:00:00", 4_000 + (day.toordinal() * 37) % 9_000, 1_800)
            for day in some
        ]
        yield snapshots(user, "band", *rows)
