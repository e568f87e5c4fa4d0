"""Coverage-guided fuzzing of what reads foreign bytes: the decoder, and `ingest db import`.

Needs the extra `fuzz` (atheris). Run it with `python -m tests.fuzz decoder --minutes 10`, or with
`import`. It ends with the bytes of the first input that breaks a law, or the number of inputs.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ingest"]):
    from ingest.archive import export, import_
    from ingest.core.careful import decode_carefully
    from ingest.core.codec import decode
    from ingest.core.records import Kind
    from ingest.core.timestamps import Window
    from ingest.errors import FileUnusable
    from ingest.stores.memory import memory_store

from tests.batches import batch, pipeline_on
from tests.fakes import RecordingPublisher
from tests.lines import event, events, snapshot, snapshots

TTL = timedelta(days=7)
WINDOW = Window(946_684_800_000, 1_795_000_000_000)
KINDS = (None, *Kind)
MESSAGES = [
    events(event(0, calories_out=1.25), event(1, hr_avg=61.5), {"ts": "x"}, device_id="a.b"),
    events(event(5, 44, version=3), user="u10", idempotency_key="k | 1"),
    snapshots(snapshot(1, 100), snapshot(2, 250, 20), snapshot(3, -30, 2), source="FITBIT"),
    b'{"user_id":"u1","ts":"2025-11-13T00:30:00+01:00","steps":3}',
    b'{"user_id":"u1","date":"2025-11-13","timestamp":"2025-11-13T08:00:00Z",'
    b'"steps_total":1,"calories_out_total":2.5}',
]


def read_a_message(data: bytes) -> None:
    """Any bytes have verdicts that add up, the same both ways; what is refused stays refused."""
    if not data:
        return
    kind, text = KINDS[data[0] % len(KINDS)], data[1:]
    decoded = decode(text, kind, WINDOW)
    careful = decode_carefully(text, kind, WINDOW)
    refused = sum(refusal.records for refusal in decoded.refusals)
    assert decoded.records >= 1
    assert len(decoded.rows) + refused == decoded.records
    assert [*decoded.rows] == [*careful.rows]
    assert [r.reason for r in decoded.refusals] == [r.reason for r in careful.refusals]
    for refusal in decoded.refusals:
        again = decode(refusal.original, decoded.kind or kind, WINDOW)
        assert refusal.reason in [r.reason for r in again.refusals], refusal


def import_a_file(path: Path) -> Callable[[bytes], None]:
    """Any file is imported whole, or said to be no export; it never raises anything else."""

    def import_it(data: bytes) -> None:
        path.write_bytes(data)
        try:
            asyncio.run(import_(memory_store(TTL), str(path), lambda _: None))
        except FileUnusable:
            return

    return import_it


def exported(path: Path) -> list[bytes]:
    """A whole export, and each of its lines alone behind the first."""

    async def exporting() -> None:
        store = memory_store(TTL)
        sent = batch(*(message.strip() for message in MESSAGES))
        await pipeline_on(store, RecordingPublisher()).run(sent)
        await export(store, path, lambda _: None)

    asyncio.run(exporting())
    header, *lines = path.read_bytes().splitlines(keepends=True)
    return [path.read_bytes(), *(header + line for line in lines)]


def fuzz(target: str, minutes: float, folder: Path) -> None:
    """Start from what is right, and go on until the time is over."""
    corpus = folder / "corpus"
    corpus.mkdir()
    if target == "decoder":
        check: Callable[[bytes], None] = read_a_message
        right = [bytes([kind]) + m.strip() for kind in range(3) for m in MESSAGES]
    else:
        check = import_a_file(folder / "fuzzed")
        right = exported(folder / "export")
    for number, text in enumerate(right):
        (corpus / str(number)).write_bytes(text)
    options = [f"-max_total_time={int(minutes * 60)}", "-max_len=4096", "-timeout=20"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], check)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=["decoder", "import"])
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    fuzz(arguments.target, arguments.minutes, Path(tempfile.mkdtemp(prefix="ingest-fuzz-")))


if __name__ == "__main__":
    main()
