"""The sections of the report: what was measured, in words, and its table."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.figures import Figure, floor_micros, growth_of, micros, parts_of, per_second

Rows = list[dict[str, Any]]


def _backends(rows: Rows) -> Iterator[str]:
    yield "## Backends"
    yield ""
    yield (
        "The same stream through each store, in one process: bytes in the queue to acknowledged "
        "totals. 5 % of the messages come up to 6 hours late. The floor is pydantic validating the "
        "same bytes; on MongoDB also `bson.encode` of each document and the driver's bulk of "
        "documents so encoded. Memory is what the run added to the process. Latencies are of one "
        "query after another, of a user's day, when the stream is stored."
    )
    yield ""
    yield from _table(
        "stream, records a message",
        *("store", "records", "CPU us a record", "floor", "times the floor", "records/s"),
        *("totals p50 / p99 ms", "deltas", "events", "MiB", "runs"),
    )
    for row in rows:
        rounds = row["rounds"]
        ratios = [_one_micros(own) / _one_floor(own) for own in rounds]
        yield _line(
            *(row["stream"], row["backend"], f"{row['records']:,}"),
            micros(rounds, "pipeline").text(2),
            f"{floor_micros(rounds).middle:.2f}",
            Figure.of(ratios).text(),
            f"{per_second(rounds, 'pipeline_wall').middle:,.0f}",
            *(_latency(row["query_ms"][name]) for name in ("totals", "deltas", "events")),
            *(f"{row['memory_mib']:.0f}", len(rounds)),
        )


def _one_micros(own: dict[str, float]) -> float:
    return micros([own], "pipeline").middle


def _one_floor(own: dict[str, float]) -> float:
    return floor_micros([own]).middle


def _latency(found: dict[str, float]) -> str:
    return f"{found['p50']:.3g} / {found['p99']:.3g}"


def _stages(rows: Rows) -> Iterator[str]:
    yield "## Stages"
    yield ""
    yield (
        "Where the microseconds of a record go in one worker, from Kafka to acknowledged totals on "
        "MongoDB. A stage is counted while it computes, not while it waits. Beside it the floor: "
        "the library alone doing that part with the same bytes. Batches are of 200 messages of 60 "
        "records, or of 1,000 of one."
    )
    for size in dict.fromkeys(row["size"] for row in rows):
        yield from _stages_of([row for row in rows if row["size"] == size], size)


def _stages_of(rows: Rows, size: int) -> Iterator[str]:
    total, parts = parts_of(rows)
    yield ""
    sizes = f"{size} record{'s' if size > 1 else ''} a message"
    yield f"**{sizes}**: {total.text()} us of CPU a record."
    yield ""
    yield from _table("stage", "us a record", "share", "floor", "us a record", "times the floor")
    for part in parts:
        floor = part.floor
        yield _line(
            *(part.name, f"{part.micros:.2f}", f"{part.micros / total.middle:.0%}"),
            part.floor_name or "",
            f"{floor:.2f}" if floor else "",
            f"{part.micros / floor:.1f}" if floor else "",
        )
    yield ""
    yield from _table("reading to the end", "CPU us a record", "CPU us a message", "records/s")
    for row in rows:
        cpu = micros(row["rounds"], "cpu", row["records"])
        rate = per_second(row["rounds"], "wall", row["records"])
        yield _line(
            *(_READERS[row["reader"]], cpu.text(2), f"{cpu.middle * size:.1f}"),
            f"{rate.middle:,.0f}",
        )


_READERS: Final = {
    "getmany": "aiokafka, `getmany` and commit",
    "transport": "Faust alone: the worker's agent, acknowledging what comes",
    "worker in memory": "the worker, store in memory",
    "worker on MongoDB": "the worker, store on MongoDB, its stages timed",
}


def _contest(rows: Rows) -> Iterator[str]:
    yield "## Peers"
    yield ""
    yield (
        "The same bytes, broker, store and machine, in turn. Each contestant is its own process, "
        "the worker the command `ingest worker`; CPU time is the operating system's account of "
        "the whole process, from before a slice is sent until it is stored and its commit is due. "
        "A slow store lets all of them wait, so what a process uses while it waits is in it too. "
        "A peer does as much of the job as it can; the last column says what it does not do. "
        "They are in `benchmarks/peers/`."
    )
    for size in dict.fromkeys(row["size"] for row in rows):
        yield from _contest_of([row for row in rows if row["size"] == size], size)


def _contest_of(rows: Rows, size: int) -> Iterator[str]:
    ours = Figure.of(rows[0]["cpu_us"]).middle if rows[0]["cpu_us"] else None
    yield ""
    yield from _table(
        f"{size} a message",
        *("CPU us a record", "records a CPU second", "times ours", "records/s"),
        *("CPU when idle", "peak MiB", "slices", "does not do", "versions"),
    )
    for row in rows:
        if row["failure"] is not None or not row["cpu_us"]:
            yield _line(row["label"], row["failure"] or "no figure", *[""] * 6, *_last(row))
            continue
        cpu = Figure.of(row["cpu_us"])
        yield _line(
            *(row["label"], cpu.text(1)),
            f"{Figure.of(row['records_per_cpu_second']).middle:,.0f}",
            f"{cpu.middle / ours:.2f}" if ours else "",
            f"{Figure.of(row['records_per_second']).middle:,.0f}",
            *(f"{row['idle_cpu_percent']:.1f} %", f"{row['peak_mib']:.0f}"),
            f"{len(row['cpu_us'])} of {row['slice_records']:,}",
            *_last(row),
        )


def _last(row: dict[str, Any]) -> tuple[str, str]:
    return ", ".join(row["lacks"]) or "-", row["versions"]


def _crashes(rows: Rows) -> Iterator[str]:
    yield "## After kill -9"
    yield ""
    yield (
        "Each contestant is killed in the middle of its work, so often as the table says, and "
        "started again; no record is sent twice. Then what is in the store is compared with what "
        "was sent."
    )
    yield ""
    yield from _table(
        "records a message",
        *("contestant", "records", "kills", "missing", "stored more than once"),
        *("wrong days", "counted too often", "not counted", ""),
    )
    for row in rows:
        names = ("missing", "copies", "wrong_days", "overcounted", "undercounted")
        counts = ["-" if row.get(name) is None else f"{row[name]:,}" for name in names]
        yield _line(
            *(row["size"], row["label"], f"{row['records']:,}", row["kills"]),
            *counts,
            row["failure"] or "",
        )


def _workers(rows: Rows) -> Iterator[str]:
    yield "## Workers"
    yield ""
    yield (
        "One and two workers on both cores, which the broker shares with them; store in memory. "
        "They begin when a slice is in the topic."
    )
    yield ""
    yield from _table(
        "records a message", "workers", "records/s", "times one worker", "CPU us a record", "runs"
    )
    alone: dict[int, float] = {}
    for row in rows:
        rate = per_second(row["rounds"], "wall", row["records"])
        one = alone.setdefault(row["size"], rate.middle)
        yield _line(
            *(row["size"], row["workers"], rate.text(0), f"{rate.middle / one:.2f}"),
            *(micros(row["rounds"], "cpu", row["records"]).text(), len(row["rounds"])),
        )


def _scale(rows: Rows) -> Iterator[str]:
    yield "## Scale"
    yield ""
    yield (
        "CPU of a record as one thing grows. Nothing may grow faster than the logarithm: the last "
        "column compares the two largest sizes (30 % are left to noise). By users, every batch has "
        "as many days as records from 1,000 users on, and the cache keeps 5,000 days here: from "
        "10,000 users on each day is read again. Snapshots come five of a user a batch."
    )
    yield ""
    yield from _table("as this grows", "size", "CPU us a record", "peak MiB", "runs", "growth")
    for series in dict.fromkeys(row["series"] for row in rows):
        own = [row for row in rows if row["series"] == series]
        for row in own:
            yield _line(
                *(series, f"{row['size']:,}", micros(row["rounds"], "pipeline").text(2)),
                *(f"{max(one['peak_mib'] for one in row['rounds']):.0f}", len(row["rounds"])),
                growth_of(own) if row is own[-1] else "",
            )


def _inserts(rows: Rows) -> Iterator[str]:
    yield "## Inserts"
    yield ""
    yield (
        f"CPU of a document in one unordered bulk of {rows[0]['records']:,}: new ones, and "
        "the same again."
    )
    yield ""
    yield from _table("driver", "way", "us a new one", "us a known one", "runs")
    for row in rows:
        rounds, records = row["rounds"], row["records"]
        costs = (micros(rounds, turn, records).text(2) for turn in ("new", "known"))
        yield _line(row["backend"], row["way"], *costs, len(rounds))


def _http(rows: Rows) -> Iterator[str]:
    yield "## HTTP"
    yield ""
    yield (
        "`ingest serve` in embedded mode, store in memory, asked over kept connections from the "
        "second core. Beside it, in the same rounds: its pipeline alone with the same messages, in "
        "batches as large as the gateway made of them and in batches of 1,000; and a FastAPI route "
        "on the same uvicorn that reads the same bodies and answers how long they are. How often "
        "one costs the other is a figure of each round's two."
    )
    for size in dict.fromkeys(row["size"] for row in rows):
        yield from _http_of([row for row in rows if row["size"] == size], size)
    yield ""
    yield (
        "Latency of one message a request, at half of the rate that the round before it came to, "
        "from when a request was due. How late the client was itself is in it."
    )
    yield ""
    yield from _table(
        *("records a message", "requests/s", "gateway p50 ms", "p99 ms"),
        *("FastAPI alone p50 ms", "p99 ms", "client late, p99 ms", "requests a run", "runs"),
    )
    for row in (row for row in rows if "p50_ms" in row["rounds"][0]):
        names = ("p50_ms", "p99_ms", "echo_p50_ms", "echo_p99_ms", "late_p99_ms")
        yield _line(
            *(row["size"], _of(row, "visits_a_second").text(0)),
            *(_of(row, name).text(1) for name in names),
            *(f"{_of(row, 'visits').middle:,.0f}", len(row["rounds"])),
        )


def _http_of(rows: Rows, size: int) -> Iterator[str]:
    yield ""
    yield from _table(
        f"{size} a message",
        *("messages a batch", "CPU us a record", "records a CPU second", "records/s"),
        *("pipeline alone", "times it", "pipeline, 1,000 a batch", "times it"),
        *("FastAPI alone", "times it", "client, of a core", "runs"),
    )
    for row in rows:
        rounds, records = row["rounds"], row["records"]

        def cost(name: str, own: Rows = rounds, records: int = records) -> str:
            return micros(own, name, records).text(2)

        def times(name: str, own: Rows = rounds) -> str:
            return Figure.of(one["cpu"] / one[name] for one in own).text(2)

        alone, whole, bare = "pipeline", "pipeline_in_thousands", "echo_cpu"
        client = Figure.of(one["client"] / one["wall"] for one in rounds)
        yield _line(
            *(row["way"], f"{_of(row, 'batch_messages').middle:,.0f}", cost("cpu")),
            f"{per_second(rounds, 'cpu', records).middle:,.0f}",
            f"{per_second(rounds, 'wall', records).middle:,.0f}",
            *(cost(alone), times(alone), cost(whole), times(whole), cost(bare), times(bare)),
            *(f"{client.middle:.0%}", len(rounds)),
        )


def _of(row: dict[str, Any], name: str) -> Figure:
    return Figure.of(own[name] for own in row["rounds"])


def _table(*headings: str) -> tuple[str, str]:
    return _line(*headings), "|".join(["", *("---" for _ in headings), ""])


def _line(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


SECTIONS: Final[dict[str, Callable[[Rows], Iterator[str]]]] = {
    "backends": _backends,
    "stages": _stages,
    "scale": _scale,
    "workers": _workers,
    "contest": _contest,
    "crashes": _crashes,
    "inserts": _inserts,
    "http": _http,
}
