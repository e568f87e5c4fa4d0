import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from benchmarks.http_client import request_of, saturate, visit
from benchmarks.over_http import WAYS
from benchmarks.tables import SECTIONS

MESSAGES = [b'{"user_id":"user-%d"}' % number for number in range(250)]
SLOW_SECONDS = 0.05


class Echo(BaseHTTPRequestHandler):
    """Answers with the body that came; on /slow after a while, on /none not at all well."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/slow":
            time.sleep(SLOW_SECONDS)
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def requests(path: str, count: int) -> list[bytes]:
    return [request_of(path, b"%d" % number, "text/plain") for number in range(count)]


def test_every_request_is_answered_once(port: int) -> None:
    answers = saturate(port, requests("/", 40), connections=3)
    assert sorted(map(int, answers)) == [*range(40)]


def test_more_connections_than_requests_are_no_matter(port: int) -> None:
    assert saturate(port, requests("/", 1), connections=3) == [b"0"]


def test_an_answer_that_is_not_well_ends_it(port: int) -> None:
    with pytest.raises(ConnectionError, match="404"):
        saturate(port, requests("/none", 2), connections=1)


def test_latency_counts_from_when_a_request_was_due(port: int) -> None:
    visits = visit(port, requests("/slow", 4), connections=1, rate=1000)
    assert len(visits.answers) == len(visits.latencies) == len(visits.delays) == 4
    for place, latency in enumerate(visits.latencies, 1):
        assert latency >= place * SLOW_SECONDS - 0.004  # the last one was due 3 ms after the first


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_pushes_every_message(way: object) -> None:
    bodies = way.bodies(MESSAGES)  # type: ignore[attr-defined]
    found = []
    for body in bodies:
        for line in body.splitlines():
            read = orjson.loads(line)
            found += read if isinstance(read, list) else [read]
    assert found == [*map(orjson.loads, MESSAGES)]


def test_how_often_one_costs_the_other_is_told_of_each_round() -> None:
    own = dict.fromkeys(["wall", "client", "batch_messages", "pipeline_in_thousands"], 1.0)
    rounds = [
        own | {"cpu": cpu, "pipeline": alone, "echo_cpu": 1.0}
        for cpu, alone in ((3.0, 1.0), (8.0, 4.0), (2.0, 2.0))
    ]
    row = {"size": 60, "way": "one a request", "records": 60, "messages": 1, "rounds": rounds}
    [line] = [line for line in SECTIONS["http"]([row]) if line.startswith("| one a request")]
    assert "| 2.00 (1.00-3.00) |" in line
