"""Logs as JSON, one line an event, on standard error; never with a health value or a user id.

Of what libraries log only errors are shown, and of those the template, without the values that
would fill it in: they may quote a message. Clients of Kafka warn of much that is as it should be.
"""

import logging
import sys
from typing import Any

import orjson
import structlog


def configure(level: str) -> None:
    """Send what this program and its libraries log to standard error."""
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(serializer=_text),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.ERROR, handlers=[_Templates()], force=True)


class _Templates(logging.Handler):
    """Passes on the template of a library's record, and the kind of an exception."""

    def emit(self, record: logging.LogRecord) -> None:
        details = {"library": record.name, "text": str(record.msg)[:500]}
        if record.exc_info and record.exc_info[0] is not None:
            details["error"] = record.exc_info[0].__name__
        structlog.get_logger().error("ingest.library_said", **details)


def _text(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
