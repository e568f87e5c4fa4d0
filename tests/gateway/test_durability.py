"""Nothing that was acknowledged is lost, and nothing counts twice, whatever is killed."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pymongo
import pytest

from ingest.core.codec import decode
from ingest.core.records import Event, Kind, event_id, snapshot_id
from ingest.core.timestamps import Window
from ingest.stores.documents import EVENTS, SNAPSHOTS, TOTALS
from tests.e2e.conftest import Ingest
from tests.e2e.workers import Fleet, Month, eventually, fleet_of, ordered, simulated, stored_in
from tests.gateway.server import Gateway, serving
from tests.kafka.broker import Broker
from tests.lines import event, events
from tests.mongodb import Server, running

pytestmark = pytest.mark.e2e

DATABASE = "ingest"
SENT = simulated(users=4, days=1, seed=3)
AT_ONCE = 8
MANY = 40
ALL_TIME = Window(0, 2**62)
ALL = slice(None)
HALF = len(SENT.lines) // 2
READ = {400}  # what is no JSON is refused, whenever it is sent


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A store that may be hurt, and keeps what it confirmed."""
    with running(tmp_path_factory.mktemp("mongodb"), "--sync-on-commit") as server:
        with pymongo.MongoClient(server.uri) as client:
            for name in (EVENTS, SNAPSHOTS, TOTALS):  # SecantusDB has no other way to a user's
                client[DATABASE][name].create_index("user_id")
        yield server
        server.kill()  # to end in order would take it 2 s


@pytest.fixture
def on_kafka(
    tmp_path: Path, breakable_settings: dict[str, str], mongodb_uri: str, mongodb_database: str
) -> Iterator[Fleet]:
    """One worker, on a broker that may be hurt."""
    stored = stored_in(mongodb_uri, mongodb_database)
    with fleet_of(tmp_path, breakable_settings | stored) as fleet:
        fleet.started(1)
        yield fleet


class Pushes:
    """Messages that are pushed some at a time, each with a key; `done` is how each was answered.

    One that the service did not answer is not there.
    """

    def __init__(self, gateway: Gateway, lines: Iterable[bytes]) -> None:
        self._gateway = gateway
        self._lines = dict(enumerate(lines))
        self.done: dict[int, httpx.Response] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._futures: list[Future[None]] = []

    def start(self, lines: slice = ALL) -> None:
        """Push all of these that are not acknowledged."""
        known = {*self.acknowledged()}
        left = [number for number in [*self._lines][lines] if number not in known]
        self._futures = [self._pool.submit(self._push, number) for number in left]

    def start_again(self) -> None:
        """Push all of it once more."""
        self.done.clear()
        self.start()

    def wait(self) -> None:
        for future in self._futures:
            future.result()

    def acknowledged(self) -> list[int]:
        return [number for number, answer in {**self.done}.items() if answer.status_code < 300]

    def statuses(self) -> Counter[int]:
        return Counter(answer.status_code for answer in [*self.done.values()])

    def _push(self, number: int) -> None:
        line = self._lines[number]
        headers = {"Idempotency-Key": own_key_of(line) or f"push-{number}"}
        try:
            self.done[number] = self._gateway.post(path_of(line), line, headers=headers)
        except httpx.TransportError:
            time.sleep(0.05)  # the service is away; it is not asked as fast as it refuses


def own_key_of(line: bytes) -> str | None:
    """The key that a message has itself."""
    try:
        fields = orjson.loads(line)
    except ValueError:
        return None
    return fields.get("idempotency_key") if isinstance(fields, dict) else None


def kind_of(line: bytes) -> Kind:
    return Kind.HEALTH if b'"timestamp"' in line else Kind.ACTIVITY


def path_of(line: bytes) -> str:
    return f"/v1/{kind_of(line)}"


def ids_of(lines: Iterable[bytes]) -> set[str]:
    """The ids of the records in these messages that are valid."""
    found = set()
    for line in lines:
        for row in decode(line, kind_of(line), ALL_TIME).rows:
            found.add(event_id(row) if isinstance(row, Event) else snapshot_id(row))
    return found


def stored_ids(uri: str, database: str) -> set[str]:
    with pymongo.MongoClient(uri) as client:
        return {
            document["_id"]
            for name in (EVENTS, SNAPSHOTS)
            for document in client[database][name].find({}, {"_id": 1})
        }


def totals_in(gateway: Gateway, month: Month) -> list[dict[str, Any]]:
    """What it answers of all users."""
    users = {total["user_id"] for total in month.truth}
    pages = [gateway.get(f"/v1/users/{user}/days").json() for user in users]
    return ordered(total for page in pages for total in page["days"])


def must_be_verified(folder: Path, settings: Mapping[str, str]) -> None:
    verified = Ingest(folder, deadline_seconds=60)("db", "verify", **settings)
    assert (verified.status, verified.err) == (0, "")


def test_a_service_killed_while_it_is_pushed_to(tmp_path: Path, store: Server):
    settings = stored_in(store.uri, DATABASE)
    with serving(tmp_path, **settings) as gateway:
        pushes = Pushes(gateway, SENT.lines)
        pushes.start()
        eventually(lambda: len(pushes.done) > len(SENT.lines) // 3)
        gateway.kill()
        pushes.wait()
        acknowledged = pushes.acknowledged()
        assert len(SENT.lines) // 4 < len(acknowledged) < len(SENT.lines) - AT_ONCE
        kept = stored_ids(store.uri, DATABASE)
        assert ids_of(SENT.lines[number] for number in acknowledged) <= kept
        gateway.start()
        pushes.start_again()
        pushes.wait()
        assert pushes.statuses().keys() <= {200} | READ
        assert len(pushes.done) == len(SENT.lines)
        again = [pushes.done[number].json() for number in acknowledged]
        assert sum(answer["accepted"] + answer["corrected"] for answer in again) == 0
        assert totals_in(gateway, SENT) == SENT.truth
    must_be_verified(tmp_path, settings)


def test_a_store_that_is_away_is_told_in_time_and_it_recovers_by_itself(
    tmp_path: Path, store: Server
):
    settings = stored_in(store.uri, DATABASE) | {"MONGODB_TIMEOUT_SECONDS": "1"}
    settings |= {"BATCH_SIZE_MAX": "1"}  # so that there are many batches to wait for
    path = f"/v1/{Kind.ACTIVITY}"
    with serving(tmp_path, **settings) as gateway:
        assert gateway.post(path, events(event(1))).status_code == 200
        assert gateway.get("/readyz").status_code == 200
        store.kill()
        began_at = time.monotonic()
        with ThreadPoolExecutor(MANY) as pool:
            lines = [events(event(minute)) for minute in range(2, 2 + MANY)]
            answers = [*pool.map(lambda line: gateway.post(path, line), lines)]
        assert time.monotonic() - began_at < 20
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.json()["code"] for answer in answers} == {"STORE_UNAVAILABLE"}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert gateway.get("/readyz").status_code == 503
        assert gateway.get("/livez").status_code == 200
        read = gateway.get("/v1/users/u1/days")
        assert (read.status_code, read.json()["code"]) == (503, "STORE_UNAVAILABLE")
        store.start()
        eventually(lambda: gateway.get("/readyz").status_code == 200)
        for line in lines:
            assert gateway.post(path, line).status_code == 200
        (total,) = gateway.get("/v1/users/u1/days").json()["days"]
        assert total["events_count"] == 1 + MANY


def test_a_broker_and_a_service_killed_while_it_is_pushed_to(
    tmp_path: Path, on_kafka: Fleet, breakable_broker: Broker
):
    settings = on_kafka.environment | {"GATEWAY_MODE": "kafka", "LOG_LEVEL": "info"}
    with serving(tmp_path, **settings) as gateway:
        pushes = Pushes(gateway, SENT.lines)
        pushes.start(slice(HALF))
        eventually(lambda: len(pushes.done) > HALF // 2)
        breakable_broker.kill()
        eventually(lambda: pushes.statuses()[503] > 0)
        breakable_broker.start()
        pushes.wait()
        assert pushes.statuses().keys() <= {202, 503} | READ
        assert {"retry-after"} <= pushes.done[_one_with(pushes, 503)].headers.keys()
        before = len(pushes.done)
        pushes.start(slice(HALF, None))
        eventually(lambda: len(pushes.done) > before + HALF // 4)
        gateway.kill()
        pushes.wait()
        assert len(pushes.done) < len(SENT.lines) - AT_ONCE
        on_kafka.finish()
        kept = stored_ids(settings["MONGODB_URI"], settings["MONGODB_DATABASE"])
        assert ids_of(SENT.lines[number] for number in pushes.acknowledged()) <= kept
        gateway.start()
        pushes.start()
        pushes.wait()
        assert pushes.statuses().keys() <= {202} | READ
    on_kafka.must_be(SENT.truth)
    must_be_verified(tmp_path, settings)


def _one_with(pushes: Pushes, status: int) -> int:
    return next(n for n, answer in pushes.done.items() if answer.status_code == status)
