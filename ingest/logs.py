"""Logs as JSON, one line an event, on standard error; never with a health value or a user id.

What libraries log is shown as its template, without the values that would fill it in: those may
quote a message.
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
    logging.basicConfig(level=logging.WARNING, handlers=[_Templates()], force=True)


class _Templates(logging.Handler):
    """Passes on the template of a library's record, and the kind of an exception."""

    def emit(self, record: logging.LogRecord) -> None:
        details = {"library": record.name, "text": str(record.msg)[:500]}
        if record.exc_info and record.exc_info[0] is not None:
            details["error"] = record.exc_info[0].__name__
        logger = structlog.get_logger()
        (logger.error if record.levelno >= logging.ERROR else logger.warning)(
            "ingest.library_said", **details
        )


def _text(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
