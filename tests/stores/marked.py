"""An export of one document of each collection, whose every value is known by its digits."""

from pathlib import Path

import pytest

from ingest.archive import export, import_
from ingest.errors import FileUnusable
from ingest.stores.documents import EVENTS, KEYS, SNAPSHOTS, TOTALS
from ingest.stores.memory import memory_store
from tests.batches import TTL, sent
from tests.stores.contents import event, run, snapshot

MARK = "4711"
OWN = {"user_id": f"u{MARK}", "device_id": f"d{MARK}", "source": f"S{MARK}"}
PLACE = {EVENTS: 2, SNAPSHOTS: 3, TOTALS: 4, KEYS: 5}  # the number of each one's line
BELONG = "its fields do not belong together"


async def marked_lines(folder: Path) -> list[bytes]:
    """The lines of the export."""
    store, path = memory_store(TTL), folder / "marked.ndjson"
    first = event(1, steps=4_711, calories_out=47_110_000, **OWN)
    second = snapshot(1, 4_711, **OWN)
    await run(store, sent(first, key=f"k{MARK}"), sent(second))
    await export(store, path, lambda _: None)
    return path.read_bytes().splitlines(keepends=True)


async def refused(lines: list[bytes], folder: Path) -> str:
    """Why an import of these lines is refused; the file's name reads FILE."""
    path = folder / "broken.ndjson"
    path.write_bytes(b"".join(lines))
    with pytest.raises(FileUnusable) as refusal:
        await import_(memory_store(TTL), str(path), lambda _: None)
    return str(refusal.value).replace(str(path), "FILE")
