"""Peak memory of `ingest replay`: what it grows with, and what it does not.

Run it with `python -m benchmarks.memory` (about a minute; `--records 500000` for a quick look).
Each replay is a process of its own, and the figure is the operating system's peak resident size.
"""

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

START = datetime(2025, 11, 3, tzinfo=UTC)
USERS = 1000


def distinct(records: int) -> Iterator[bytes]:
    """Hours of 60 events, every user's in turn."""
    rng = random.Random(3)
    for message in range(records // 60):
        start = START + timedelta(hours=message // USERS)
        yield orjson.dumps(
            {
                "user_id": f"user-{message % USERS:04d}",
                "device_id": "watch",
                "source": "FITBIT",
                "events": [
                    {
                        "ts": (start + timedelta(minutes=minute)).isoformat(),
                        "steps": rng.randrange(130),
                        "calories_out": round(rng.uniform(0.8, 12), 4),
                    }
                    for minute in range(60)
                ],
            }
        )


def repeated(records: int) -> Iterator[bytes]:
    """As many records, but only those of the first hour, again and again."""
    hour = list(distinct(60 * USERS))
    for message in range(records // 60):
        yield hour[message % USERS]


def peak_mib(messages: Iterator[bytes]) -> tuple[float, int]:
    """Peak resident MiB of a replay of these messages, and the size of the file in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages.ndjson"
        with path.open("wb") as file:
            file.writelines(message + b"\n" for message in messages)
        size = path.stat().st_size // 2**20
        command = [sys.executable, "-m", "ingest", "replay", "--json", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the replay ended with {process.returncode}: {output.decode()}")
    return usage.ru_maxrss / 1024, size


def main() -> None:
    """Measure a growing number of records, distinct and repeated."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=5_000_000)
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}; {USERS} users")
    print(f"{'stream':34}{'records':>11}{'file MiB':>10}{'peak MiB':>10}{'bytes a record':>16}")
    start, _ = peak_mib(iter(()))
    streams: dict[str, Callable[[int], Iterator[bytes]]] = {
        "distinct: every record is stored": distinct,
        "repeated: one hour is stored": repeated,
    }
    for name, stream in streams.items():
        for records in (options.records // 5, options.records):
            peak, size = peak_mib(stream(records))
            each = (peak - start) * 2**20 / records
            print(f"{name:34}{records:11,}{size:10}{peak:10.0f}{each:16.0f}")


if __name__ == "__main__":
    main()
