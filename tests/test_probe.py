"""What is asked of the worker on this machine, and what its answers come to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ingest.errors import WorkerUnavailable
from ingest.probe import problem_of
from ingest.settings import Settings
from tests.mongodb import free_port


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Settings]:
    """Something on a web port that answers every question alike."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Settings(web_host="0.0.0.0", web_port=server.server_address[1])  # noqa: S104
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("page", ["livez", "readyz"])
def test_a_worker_that_is_well_has_no_problem(page: str):
    with answering(200, b'{"status":"ok"}') as settings:
        assert problem_of(settings, page) is None


def test_a_worker_that_is_not_says_why():
    body = b'{"status":"unavailable","reason":"no partitions are assigned"}'
    with answering(503, body) as settings:
        assert problem_of(settings, "readyz") == "no partitions are assigned"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}"])
def test_something_else_is_no_worker(body: bytes):
    with answering(404, body) as settings, pytest.raises(WorkerUnavailable, match="no worker"):
        problem_of(settings, "readyz")


def test_nothing_there_is_said_with_where():
    port = free_port()
    with pytest.raises(WorkerUnavailable, match=f"WEB_PORT={port}: Connection refused"):
        problem_of(Settings(web_port=port), "livez")
