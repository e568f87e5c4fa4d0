"""Logs are lines of JSON, and quote nothing that a library was told."""

import json
import logging
import subprocess
import sys

SCRIPT = """
import logging, structlog
from ingest.logs import configure
configure("{level}")
log = structlog.get_logger()
log.debug("ingest.batch_done", messages=1)
log.warning("ingest.retrying", reason="MongoDB does not answer")
logging.getLogger("faust.streams").error("Bad message %r of %s", "steps=77", "user-0001")
try:
    raise ValueError("user-0001 walked 77")
except ValueError:
    logging.getLogger("aiokafka").exception("It raised: %r", "user-0001")
logging.getLogger("aiokafka").warning("Heartbeat failed for group %s", "g")
"""


def logged(level: str) -> list[dict]:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", SCRIPT.format(level=level)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_each_line_has_a_time_a_level_and_an_event():
    lines = logged("debug")
    assert [(line["level"], line["event"]) for line in lines] == [
        ("debug", "ingest.batch_done"),
        ("warning", "ingest.retrying"),
        ("error", "ingest.library_said"),
        ("error", "ingest.library_said"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_the_level_is_a_floor():
    assert [line["level"] for line in logged("error")] == ["error", "error"]


def test_a_library_is_quoted_by_its_template_only():
    *_, first, error = logged("info")
    assert (first["text"], first["library"]) == ("Bad message %r of %s", "faust.streams")
    assert (error["text"], error["error"]) == ("It raised: %r", "ValueError")
    assert "user-0001" not in json.dumps([first, error])
    assert logging.getLogger("ingest").handlers == []
