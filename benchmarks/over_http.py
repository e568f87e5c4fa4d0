"""What a record costs the gateway, store in memory, beside its pipeline alone and a bare FastAPI.

The gateway is the command `ingest serve`, a process on the first core; the client has the second.
In a round, gateway and echo are asked with the same bodies in turn: one message a request, arrays,
and one stream of lines. Then the pipeline alone, in a process of its own, is given the same
messages, in batches as large as the gateway made of them. Each round has new processes and an empty
store. CPU time is all of the server's process; latencies count from when a request was due.
"""

import asyncio
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

import orjson

from benchmarks.contestants import Contestant, Running
from benchmarks.embedded import BATCH_SIZE_MAX, WANTED, pipeline_of, run
from benchmarks.http_client import HOST, request_of, saturate, visit
from benchmarks.measuring import in_child
from benchmarks.peers import of_python
from benchmarks.plan import Plan
from benchmarks.servers import Ground, free_port
from benchmarks.streams import stream_of
from ingest.queues.memory import MemoryTopics
from ingest.stores.memory import memory_store

JSON, NDJSON = "application/json", "application/x-ndjson"
ARRAY: Final = 100  # messages of an array
PUSH: Final = "/v1/activity-events"
START_SECONDS: Final = 30
WARM_UP: Final = 1_000  # messages, each way
MESSAGES_MAX: Final = 1_000_000
_BATCHES: Final = re.compile(rb"^ingest_batch_messages_count ([0-9.e+]+)$", re.MULTILINE)
Messages = Sequence[bytes]
Round = dict[str, float]


class Way(NamedTuple):
    """A way to push: bodies out of so many messages, what they are, over how many connections."""

    name: str
    bodies: Callable[[Messages], Messages]
    media_type: str
    connections: int
    messages_max: int


class Service(NamedTuple):
    """A server's process, and where it takes what."""

    running: Running
    port: int
    path: str


class Turn(NamedTuple):
    """Messages for the pipeline alone, and how large its batches are to be."""

    messages: Messages
    batch_size_max: int


def http(plan: Plan, _: Ground) -> Iterator[dict[str, Any]]:
    """A row for each size of message and way to push them: CPU and wall-clock of each round."""
    for size, records in plan.http_records.items():
        messages = stream_of(records * (len(WAYS) + 2), size=size).messages
        step = records // size
        parts = [messages[first : first + step] for first in range(0, len(messages), step)]
        rounds = [_round(parts, size, plan.http_seconds) for _ in range(plan.rounds)]
        for way in WAYS:
            count = min(step, way.messages_max)
            row = {"size": size, "way": way.name, "messages": count, "records": count * size}
            own = [found[way.name] for found in rounds]
            yield row | {"connections": way.connections, "rounds": own}


def pipeline_seconds(warm_up: Messages, turns: Sequence[Turn], size: int) -> list[float]:
    """CPU seconds of the pipeline alone, of each turn; raises `SystemExit` if a record is lost."""
    return asyncio.run(_pipeline_seconds(warm_up, turns, size))


async def _pipeline_seconds(warm_up: Messages, turns: Sequence[Turn], size: int) -> list[float]:
    pipeline = pipeline_of(memory_store(WANTED.idempotency_ttl), MemoryTopics(on_dead_letter=print))
    found = []
    for messages, batch_size_max in (Turn(warm_up, BATCH_SIZE_MAX), *turns):
        cpu = time.process_time()
        outcomes = await run(pipeline, messages, batch_size_max)
        found.append(time.process_time() - cpu)
        _check(sum(own.accepted for own in outcomes), len(messages) * size)
    return found[1:]


def _round(parts: Sequence[Messages], size: int, seconds: float) -> dict[str, Round]:
    """By way to push, what each contestant needed; of single messages their latencies too."""
    whole, *pushed, visited = parts
    warm_up = whole[: WARM_UP * len(WAYS)]
    pushed = [part[: way.messages_max] for part, way in zip(pushed, WAYS, strict=True)]
    with (
        tempfile.TemporaryDirectory() as folder,
        _gateway(folder) as gateway,
        _echo(folder) as echo,
    ):
        for first, way in enumerate(WAYS):
            for service in (gateway, echo):
                _push(service, way, warm_up[first :: len(WAYS)])
        found = {
            way.name: _side_by_side(gateway, echo, way, messages, size)
            for way, messages in zip(WAYS, pushed, strict=True)
        }
        single = found[SINGLE.name]
        rate = len(pushed[0]) / single["wall"] / 2
        single |= _latencies(gateway, echo, visited[: int(rate * seconds)], rate)
    batches = [max(1, round(own["batch_messages"])) for own in found.values()]
    turns = [*map(Turn, pushed, batches), Turn(visited, BATCH_SIZE_MAX)]
    *alone, in_thousands = in_child(pipeline_seconds, warm_up, turns, size)
    for own, cpu, messages in zip(found.values(), alone, pushed, strict=True):
        thousands = in_thousands / len(visited) * len(messages)
        own |= {"pipeline": cpu, "pipeline_in_thousands": thousands}
    return found


def _side_by_side(
    gateway: Service, echo: Service, way: Way, messages: Messages, size: int
) -> Round:
    """What gateway and echo needed for the same bodies; `SystemExit` if a record is not taken."""
    before = _batches(gateway)
    ours, theirs = (_push(service, way, messages) for service in (gateway, echo))
    _check(ours.pop("accepted"), len(messages) * size)
    batch = len(messages) / (_batches(gateway) - before)
    echoed = {f"echo_{name}": value for name, value in theirs.items()}
    return ours | echoed | {"batch_messages": batch}


def _push(service: Service, way: Way, messages: Messages) -> Round:
    """What the server and the client needed for these, and how many records were accepted."""
    requests = _requests(service, way, messages)
    client, cpu, wall = time.process_time(), service.running.cpu_seconds(), time.perf_counter()
    answers = saturate(service.port, requests, way.connections)
    wall = time.perf_counter() - wall
    cpu, client = service.running.cpu_seconds() - cpu, time.process_time() - client
    found = {"cpu": cpu, "wall": wall, "client": client, "requests": float(len(requests))}
    if service.path == PUSH:
        found["accepted"] = sum(orjson.loads(answer)["accepted"] for answer in answers)
    return found


def _latencies(gateway: Service, echo: Service, messages: Messages, rate: float) -> Round:
    """Milliseconds of single messages at this rate; and how late the client was itself."""
    found = {"visits": float(len(messages)), "visits_a_second": rate}
    for service, prefix in ((gateway, ""), (echo, "echo_")):
        requests = _requests(service, SINGLE, messages)
        visits = visit(service.port, requests, SINGLE.connections, rate=rate)
        latencies, delays = (quantiles(own, n=100) for own in (visits.latencies, visits.delays))
        own = {"p50": latencies[49], "p99": latencies[98], "late_p99": delays[98]}
        found |= {f"{prefix}{name}_ms": 1000 * value for name, value in own.items()}
    return found


def _requests(service: Service, way: Way, messages: Messages) -> Messages:
    return [request_of(service.path, body, way.media_type) for body in way.bodies(messages)]


@contextmanager
def _gateway(folder: str) -> Iterator[Service]:
    port = free_port()
    command = "-m", "ingest", "serve", "--port", str(port)
    with _served(GATEWAY._replace(command=command), folder, port, PUSH) as service:
        yield service


@contextmanager
def _echo(folder: str) -> Iterator[Service]:
    port = free_port()
    command = "-m", "benchmarks.echo", str(port)
    with _served(ECHO._replace(command=command), folder, port, "/") as service:
        yield service


@contextmanager
def _served(contestant: Contestant, folder: str, port: int, path: str) -> Iterator[Service]:
    own = Path(folder) / contestant.name
    own.mkdir()
    running = Running(contestant, ENVIRONMENT, own)
    try:
        _wait_for(running, port)
        yield Service(running, port, path)
    finally:
        running.stop()


def _wait_for(running: Running, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while running.is_running and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.05)
    raise SystemExit(f"it does not serve: {running.last_words()}")


def _batches(gateway: Service) -> float:
    """How many batches it has made so far."""
    with urlopen(f"http://{HOST}:{gateway.port}/metrics") as answer:
        found = _BATCHES.search(answer.read())
    return float(found[1]) if found else 0.0


def _arrays(messages: Messages) -> Messages:
    parts = (messages[first : first + ARRAY] for first in range(0, len(messages), ARRAY))
    return [b"[" + b",".join(part) + b"]" for part in parts]


def _check(accepted: float, records: int) -> None:
    if accepted != records:
        raise SystemExit(f"{accepted:.0f} records accepted of {records}")


SINGLE: Final = Way("one a request", lambda messages: messages, JSON, 64, 5_000)
WAYS: Final = (
    SINGLE,
    Way(f"arrays of {ARRAY}", _arrays, JSON, 4, MESSAGES_MAX),
    Way("one stream of lines", lambda messages: [b"\n".join(messages)], NDJSON, 1, MESSAGES_MAX),
)
ENVIRONMENT: Final[Mapping[str, str]] = {
    "REPOSITORY_BACKEND": "inmemory",
    "GATEWAY_MODE": "embedded",
}
_SERVED_BY: Final = of_python("fastapi", "uvicorn", "httptools")
GATEWAY: Final = Contestant("gateway", "ingest serve", _SERVED_BY, (), can_run=True, command=())
ECHO: Final = Contestant("echo", "FastAPI alone", _SERVED_BY, (), can_run=True, command=())
