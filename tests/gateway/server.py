"""The service as it runs in production: a process of its own, killed or ended as a test likes."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.server_process import DEADLINE_SECONDS, ServerProcess

SERVING: Final = re.compile(rb"^ingest: serving http://127\.0\.0\.1:(\d+)$", re.MULTILINE)
KIB: Final = 1024
OPTIONS: Final = {"timeout": DEADLINE_SECONDS, "verify": False}  # no certificates to be read
MIB: Final = 1024 * 1024


class Gateway(ServerProcess):
    """`ingest serve` with these settings; each start is on a port of its own."""

    def __init__(
        self, folder: Path, command: Sequence[str] = COMMAND, **settings: str | Path
    ) -> None:
        self._log = folder / "gateway.log"
        self._command = [*command, "serve", "--port", "0"]
        self._environment = ENVIRONMENT | {"PYTHONPATH": str(Path.cwd())} | settings
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command, cwd=self._log.parent, env=self._environment, stderr=output
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (found := SERVING.search(self._log.read_bytes())) is None:
            assert self.is_running, f"it ended: {self.log()[-3000:]}"
            assert time.monotonic() < deadline, "it does not serve"
            time.sleep(0.02)
        self.port = int(found[1])

    def log(self) -> str:
        return self._log.read_text()

    def exit_status(self) -> int:
        """How it ended; it has the deadline to do so."""
        assert self._process is not None
        return self._process.wait(DEADLINE_SECONDS)

    def resident(self) -> int:
        """How many bytes of memory it has now."""
        return self._kib("VmRSS") * KIB

    def most_resident(self) -> int:
        """How many it had at most, since the last `forget_most_resident`."""
        return self._kib("VmHWM") * KIB

    def forget_most_resident(self) -> int:
        """Measure anew; how many bytes it has now."""
        assert self._process is not None
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        return self.resident()

    def _kib(self, name: str) -> int:
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {name}")

    def get(self, path: str, **others: Any) -> httpx.Response:
        return httpx.get(self.url + path, **OPTIONS, **others)

    def post(
        self, path: str, content: Any, headers: Mapping[str, str] | None = None, **others: Any
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json", **(headers or {})}
        return httpx.post(self.url + path, content=content, headers=headers, **OPTIONS, **others)

    def records(self) -> dict[str, int]:
        """How many records had which verdict since it was started."""
        counts = self.get("/v1/status").json()["records"]
        return {verdict: count for verdict, count in counts.items() if count}


@contextmanager
def serving(
    folder: Path, command: Sequence[str] = COMMAND, **settings: str | Path
) -> Iterator[Gateway]:
    """A service for as long as the block runs."""
    gateway = Gateway(folder, command, **settings)
    try:
        gateway.start()
        yield gateway
    finally:
        if gateway.is_running:
            gateway.kill()
