"""A server of the tests in a process of its own: how it is ended, in order or by a power cut."""

import signal
import subprocess

DEADLINE_SECONDS = 60


class ServerProcess:
    """What the servers of the tests have in common; `start` is theirs."""

    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """End it in order, if it runs."""
        if self.is_running:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            self.wait()

    def wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
