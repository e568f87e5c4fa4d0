"""The service as a command: what it does not start on, TLS, and how it ends."""

import json
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from tests.e2e.conftest import Ingest
from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.lines import event, events
from tests.mongodb import free_port

pytestmark = pytest.mark.e2e


@contextmanager
def served(
    ingest: Ingest, *options: str, **settings: str
) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a service for as long as the block runs, and its process."""
    command = [*COMMAND, "serve", "--port", "0", *options]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ingest.folder, env=ENVIRONMENT | settings, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline().decode()
            assert line.startswith("ingest: serving "), line
            yield line.split()[-1], process
        finally:
            process.kill()


def asked(url: str, context: ssl.SSLContext | None = None) -> Any:
    with urllib.request.urlopen(url, context=context) as answer:  # noqa: S310 - our own address
        return json.load(answer)


@pytest.mark.parametrize(
    ("options", "settings", "word"),
    [
        (["--host", "0.0.0.0"], {}, "API_KEYS_FILE"),  # noqa: S104 - it is refused
        (["--host", "::"], {}, "API_KEYS_FILE"),
        (["--host", "no.such.host"], {}, "API_KEYS_FILE"),
        ([], {"GATEWAY_MODE": "kafka"}, "REPOSITORY_BACKEND=mongodb"),
        ([], {"API_KEYS_FILE": "missing"}, "API_KEYS_FILE"),
        ([], {"TLS_CERT_FILE": "good"}, "TLS_KEY_FILE"),
        ([], {"TLS_CERT_FILE": "good", "TLS_KEY_FILE": "good"}, "TLS_CERT_FILE"),
        (["--replay", "missing"], {}, "missing"),
        (["--port", "65536"], {}, "--port"),
    ],
)
def test_it_does_not_start_on_what_is_wrong(ingest: Ingest, options, settings, word):
    ingest.write("good", b"{}")
    done = ingest("serve", "--port", "0", *options, **settings)
    assert is_one_clear_line(done, 2), done
    assert word in done.err


def test_a_port_that_is_taken(ingest: Ingest):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = ingest("serve", "--port", str(taken.getsockname()[1]))
    assert is_one_clear_line(done, 2)
    assert "Address already in use" in done.err


def test_a_store_or_broker_that_is_not_there(ingest: Ingest):
    nowhere = f"mongodb://127.0.0.1:{free_port()}"
    mongodb = {"REPOSITORY_BACKEND": "mongodb", "MONGODB_URI": nowhere}
    done = ingest("serve", "--port", "0", **mongodb, MONGODB_TIMEOUT_SECONDS="0.5")
    assert is_one_clear_line(done, 3), done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_it_is_asked(ingest: Ingest, number: signal.Signals):
    with served(ingest) as (address, process):
        assert asked(f"{address}/livez") == {"status": "ok"}
        process.send_signal(number)
        assert process.wait(10) == 0


def test_files_are_replayed_before_it_answers(ingest: Ingest):
    ingest.write("good", events(event(1, 92)))
    with served(ingest, "--replay", "good") as (address, _):
        assert [day["steps"] for day in asked(f"{address}/v1/users/u1/days")["days"]] == [92]


def test_it_speaks_tls_with_its_own_certificate(ingest: Ingest):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = ingest.folder / "chain.pem", ingest.folder / "key.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with served(ingest, TLS_CERT_FILE="chain.pem", TLS_KEY_FILE="key.pem") as (address, _):
        assert address.startswith("https://")
        assert asked(f"{address}/livez", context) == {"status": "ok"}
