"""`python -m ingest` and the `ingest` command: what went wrong becomes an exit status.

0 done; 1 found a difference, or refused records with `--strict`; 2 usage, settings or a file;
3 service unreachable; 130 interrupted (DESIGN section 9).
"""

import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import typer
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from ingest.cli import app
from ingest.embedded import collect_garbage_rarely
from ingest.errors import (
    BatchRetryable,
    FileUnusable,
    QueueUnusable,
    SettingsInvalid,
    StoreUnusable,
    WorkerStopped,
    WorkerUnavailable,
)

# typer exports only the leaves of its usage errors; this is the class they share.
_UsageError: Any = typer.BadParameter.__base__


def main() -> None:
    """The command line; what a user can mend is one line on standard error, never a traceback."""
    collect_garbage_rarely()
    set_on_retry_hooks([_say_retry])
    try:
        status = _status_of(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written must show while it can be said
    except (SettingsInvalid, FileUnusable, StoreUnusable, QueueUnusable) as error:
        _leave(2, str(error))
    except (BatchRetryable, WorkerUnavailable) as error:
        _leave(3, str(error))
    except WorkerStopped as error:
        _leave(1, str(error))
    except BrokenPipeError:  # the reader of our output has seen enough
        os._exit(0)
    except (KeyboardInterrupt, typer.Abort):
        _leave(130, "interrupted before it was done")
    except _UsageError as error:
        _leave(2, error.format_message().replace("Value error, ", ""))
    except OSError as error:  # files' errors are FileUnusable: only standard output is left
        _leave(2, f"cannot write standard output: {error.strerror}")
    _leave(status, "")


def _status_of(arguments: list[str]) -> int:
    """Run a command without typer's own endings, which swallow Ctrl-C and a broken pipe."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("ingest", arguments) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _say_retry(details: RetryDetails) -> None:
    """One line for each time that a batch has to wait; the details' arguments are not shown."""
    sys.stderr.write(f"ingest: {details.caused_by}; again in {details.wait_for:.1f} s\n")


def _leave(status: int, line: str) -> NoReturn:
    """Leave at once: a thread may still wait for standard input, and nothing is left to do."""
    if line:
        escaped = line.replace("\n", "\\n")
        sys.stderr.write(f"ingest: {escaped}\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
