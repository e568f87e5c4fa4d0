"""A file that only its owner reads: replaced whole or not at all, by one process at a time."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import FileUnusable

Version = tuple[int, int, int]


def read(path: Path) -> tuple[bytes, Version]:
    """What is in a file, and which version of it that was. Raises `FileUnusable`."""
    with _naming(path, "read"), open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FileUnusable(f"cannot read {path}: it is no regular file")
        return file.read(), _version_of(status)


def version_at(path: Path) -> Version | None:
    """Which version of a file is there now, None if there is none."""
    try:
        return _version_of(path.stat())
    except OSError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """The file behind a path, links followed, while no other process changes it.

    The lock is on a file beside it, which stays: the file itself is replaced by each change.
    Raises `FileUnusable`.
    """
    file = Path(os.path.realpath(path))
    with _naming(path, "write"):
        lock = open(  # noqa: SIM115 - closed below; opening has errors of its own
            file.with_name(f".{file.name}.lock"), "ab", opener=_open_private
        )
    with lock:
        with _naming(path, "write"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield file


def save(file: Path, content: bytes) -> None:
    """Replace a file with one of mode 0600; to be called by who holds it `locked`.

    Raises `FileUnusable`; the file is as it was then.
    """
    partial = file.with_name(f".{file.name}.partial")
    with _naming(file, "write"):
        partial.unlink(missing_ok=True)  # of one that was killed
        try:
            with open(partial, "xb", opener=_open_private) as writing:
                writing.write(content)
                writing.flush()
                os.fsync(writing.fileno())
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(file.parent)


def _version_of(status: os.stat_result) -> Version:
    return status.st_mtime_ns, status.st_size, status.st_ino


@contextmanager
def _naming(path: Path, doing: str) -> Iterator[None]:
    """An error of this file becomes one clear line."""
    try:
        yield
    except OSError as error:
        raise FileUnusable(f"cannot {doing} {path}: {error.strerror}") from error


def _open_at_once(name: str, flags: int) -> int:
    """Open without waiting for whoever may write into a pipe of that name."""
    return os.open(name, flags | os.O_NONBLOCK)


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
