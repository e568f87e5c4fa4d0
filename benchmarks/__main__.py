"""Run every benchmark, write what was found to `results/`, and render `REPORT.md` from it.

`make bench` runs it in about 27 minutes on two cores with the test server, which all wait for;
`make bench QUICK=1` in three for a look, `make bench FULL=1` as long as it takes. Servers are its
own, on the loopback, on the second core; what is measured has the first one. A mongod that
`INGEST_TEST_MONGODB_URI` names is used instead of the test server.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import report, results
from benchmarks.backends import backends
from benchmarks.contest import contest
from benchmarks.crash import crashes
from benchmarks.inserts import inserts
from benchmarks.machine import machine, versions, watched
from benchmarks.measuring import servers_to_second_core
from benchmarks.over_http import http
from benchmarks.plan import DEFAULT, FULL, QUICK, Plan
from benchmarks.scale import scale
from benchmarks.servers import Ground, broker, kafka_version, server
from benchmarks.stages import stages
from benchmarks.workers import workers

Rows = Iterator[dict[str, Any]]
SECTIONS: Final[dict[str, Callable[[Plan, Ground], Rows]]] = {
    "contest": contest,
    "crashes": crashes,
    "stages": stages,
    "workers": workers,
    "backends": backends,
    "scale": scale,
    "inserts": inserts,
    "http": http,
}


def main() -> None:
    """Measure, note, render; says on standard error how far it is. Exits 1 if a section failed."""
    options = _options()
    plan = QUICK if options.quick else FULL if options.full else DEFAULT
    result: dict[str, Any] = {
        "plan": plan.name,
        "began_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "versions": versions(),
        "kafka": f"Apache Kafka {kafka_version()}",
        "sections": {},
    }
    started = time.monotonic()
    servers_to_second_core()
    with ExitStack() as stack:
        mongodb = stack.enter_context(server())
        ground = Ground(stack.enter_context(broker()), mongodb.uri)
        if mongodb.is_mongod:
            plan = plan.on_mongod()
        result |= {"server": mongodb.name, "server_is_mongod": mongodb.is_mongod}
        for name in options.only or SECTIONS:
            result["sections"][name] = _measure(name, plan, ground)
    result["seconds"] = time.monotonic() - started
    path = options.to or results.path_of(result)
    results.write(result, path)
    _say(f"{path} in {result['seconds']:.0f} s\n")
    if not (options.no_report or options.to):
        report.render(results.read(path))
    if any("failure" in section for section in result["sections"].values()):
        raise SystemExit(1)


def _measure(name: str, plan: Plan, ground: Ground) -> dict[str, Any]:
    section: dict[str, Any] = {"rows": []}
    started = time.monotonic()
    with watched(section):
        try:
            for row in SECTIONS[name](plan, ground):
                seconds = time.monotonic() - started
                section["rows"].append({**row, "at_seconds": seconds})
                _say(f"\r\033[K{name}: {len(section['rows'])} rows, {seconds:.0f} s")
        except (Exception, SystemExit) as error:  # the other sections are worth having
            section["failure"] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
    _say("\r\033[K")
    _say(f"{name}: {len(section['rows'])} rows, {section['seconds']:.0f} s\n")
    return section


def _say(text: str) -> None:
    if sys.stderr.isatty() or not text.startswith("\r"):
        print(text, end="", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks", description=(__doc__ or "").splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a look: the numbers mean little")
    size.add_argument("--full", action="store_true", help="the largest sizes too")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION")
    parser.add_argument("--to", type=Path, help="write the results here, and no report")
    parser.add_argument("--no-report", action="store_true", help="write the results only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
