"""What a running Prometheus answers for the expressions of a dashboard, asked as Grafana does."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

VARIABLE: Final = re.compile(r"\$(\w+)")
POINTS: Final = 240
EVERY_WORKER: Final = ".+"


class Refused(Exception):  # noqa: N818 - what Prometheus did
    """Prometheus does not take the question; the text is its reason."""


class Series(NamedTuple):
    """The values of one line by the time they were measured."""

    legend: str
    points: Mapping[float, float]

    @staticmethod
    def of(result: Mapping[str, Any], legend: str) -> "Series":
        """One result of Prometheus, of one time or of many."""
        labels = result["metric"]
        name = re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)
        points = result.get("values") or [result["value"]]
        return Series(name, {at: float(value) for at, value in points})


class Prometheus(NamedTuple):
    """The server, and what time of it is drawn, in whole unix seconds: Prometheus says them so."""

    address: str
    job: str
    start: int
    end: int
    scrape_seconds: int

    @property
    def times(self) -> range:
        """When values are asked for."""
        step = max(self.scrape_seconds, (self.end - self.start) // POINTS)
        return range(self.start, self.end + 1, step)

    def workers(self) -> list[str]:
        """Every `instance` that was scraped in that time."""
        match = f'ingest_build_info{{job="{self.job}"}}'
        bounds = {"start": self.start, "end": self.end}
        found: list[str] = self._ask("label/instance/values", {"match[]": match, **bounds})
        return sorted(found)

    def series(self, target: Mapping[str, Any], worker: str) -> list[Series]:
        """What the expression of a target is, of one worker or of `EVERY_WORKER`."""
        expression = replaced(target["expr"], self._variables(worker))
        if target.get("instant"):
            answer = self._ask("query", {"query": expression, "time": self.end})
        else:
            bounds = {"start": self.start, "end": self.end, "step": self.times.step}
            answer = self._ask("query_range", {"query": expression, **bounds})
        return [Series.of(one, target["legendFormat"]) for one in answer["result"]]

    def _variables(self, worker: str) -> Mapping[str, str]:
        rate_seconds = max(self.times.step + self.scrape_seconds, 4 * self.scrape_seconds)
        is_one = worker != EVERY_WORKER
        return {
            "job": self.job,
            "instance": re.escape(worker).replace("\\", r"\\") if is_one else worker,
            "__range": f"{self.end - self.start}s",
            "__rate_interval": f"{rate_seconds}s",
        }

    def _ask(self, path: str, question: Mapping[str, Any]) -> Any:
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(question)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - as it was given
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)["error"]) from error
        except urllib.error.URLError as error:
            raise SystemExit(f"{self.address}: {error.reason}") from error


def replaced(text: str, variables: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda match: variables[match[1]], text)
