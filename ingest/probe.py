"""What the worker on this machine answers when it is asked for its health, as a container is."""

import http.client
from contextlib import closing
from typing import Final

import orjson

from ingest.errors import WorkerUnavailable
from ingest.settings import Settings

ANSWER_SECONDS: Final = 8.0  # longer than a worker waits for its store before it says no
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where one listens


def problem_of(settings: Settings, page: str) -> str | None:
    """Why `page` (`livez` or `readyz`) says no, None where it says yes.

    Raises `WorkerUnavailable` where nothing answers, or something that is no worker.
    """
    host = _ANYWHERE.get(settings.web_host, settings.web_host)
    where = f"WEB_HOST={settings.web_host} WEB_PORT={settings.web_port}"
    try:
        status, body = _asked(host, settings.web_port, page)
        document = orjson.loads(body)
        return None if status == http.client.OK else str(document["reason"])
    except OSError as error:
        reason = error.strerror or "no answer in time"
        raise WorkerUnavailable(f"{where}: {reason}: nothing answers there") from error
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise WorkerUnavailable(f"{where}: what answers there is no worker") from error


def _asked(host: str, port: int, page: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)) as connection:
        connection.request("GET", f"/{page}")
        answer = connection.getresponse()
        return answer.status, answer.read()
