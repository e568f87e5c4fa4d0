"""`python -m ingest` and the `ingest` command: what went wrong becomes an exit status.

0 done; 1 found a difference, or refused records with `--strict`; 2 usage, settings or a file;
3 service unreachable; 130 interrupted (DESIGN section 9).
"""

import os
import sys
from typing import Any, NoReturn

import typer

from ingest.cli import app
from ingest.embedded import collect_garbage_rarely
from ingest.errors import BatchRetryable, FileUnusable, SettingsInvalid

# typer exports only the leaves of its usage errors; this is the class they share.
_UsageError: Any = typer.BadParameter.__base__


def main() -> None:
    """The command line; what a user can mend is one line on standard error, never a traceback."""
    collect_garbage_rarely()
    try:
        status = app(standalone_mode=False)
    except (SettingsInvalid, FileUnusable) as error:
        _leave(2, str(error))
    except BatchRetryable as error:
        _leave(3, str(error))
    except BrokenPipeError:  # the reader of our output has seen enough
        os._exit(0)
    except (KeyboardInterrupt, typer.Abort):
        _leave(130, "interrupted; nothing was written")
    except _UsageError as error:
        _leave(2, error.format_message())
    sys.exit(status)


def _leave(status: int, line: str) -> NoReturn:
    """Leave at once: a thread may still wait for standard input, and nothing is left to do."""
    if line:
        sys.stderr.write(f"ingest: {line}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
