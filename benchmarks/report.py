"""`REPORT.md` and its charts, out of a result: nothing here measures, and nothing is typed in.

`python -m benchmarks.report benchmarks/results/FILE.json` renders it again.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.machine import BUSY_SHARE
from benchmarks.results import Result, read
from benchmarks.tables import SECTIONS

REPORT: Final = Path(__file__).with_name("REPORT.md")
CHARTS: Final = ("contest", "stages", "backends", "scale")
MADE_BY: Final = {
    "default": "make bench",
    "quick": "make bench QUICK=1",
    "full": "make bench FULL=1",
}


def render(result: Result) -> None:
    """Write the report and its charts."""
    from benchmarks import charts  # noqa: PLC0415 - matplotlib, not where only the text is wanted

    for name in CHARTS:
        if name in result["sections"]:
            charts.draw(name, result["sections"][name]["rows"])
    REPORT.write_text(text_of(result))


def text_of(result: Result) -> str:
    """The report of a result; which charts stand beside it is told by what was measured."""
    lines = [*_head(result)]
    for name, section in SECTIONS.items():
        if name in result["sections"]:
            lines += ["", *section(result["sections"][name]["rows"])]
            if failure := result["sections"][name].get("failure"):
                lines += ["", f"**Not all of it could be measured:** {failure}"]
            if name in CHARTS:
                lines += ["", f"![{name}](charts/{name}.png)"]
    return "\n".join(lines) + "\n"


def _head(result: Result) -> Iterator[str]:
    found, server = result["machine"], result["server"]
    yield "# What a record costs"
    yield ""
    yield (
        f"Made by `{MADE_BY[result['plan']]}` on {result['began_at']} in "
        f"{result['seconds'] / 60:.0f} minutes, and never edited by hand. Machine: "
        f"{found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB, "
        f"{found['system']}, Python {found['python']}."
    )
    yield ""
    yield f"{result['kafka']}; store: {server}; " + ", ".join(
        f"{name} {version}" for name, version in result["versions"].items()
    )
    yield ""
    if result["plan"] == "quick":
        yield "**A quick look: one round of small sizes. The numbers mean little.**"
        yield ""
    yield from _busy(result)
    yield (
        "What is measured has the first core to itself; servers, producer and harness have the "
        "second. A figure is the median of the rounds, with the lowest and the highest behind it "
        "in brackets. CPU is the time of our own process, all its threads, user and system: no "
        "server's is in it. Records are those delivered, repeated ones too."
    )
    if not result["server_is_mongod"]:
        yield ""
        yield (
            f"**The store is {server}, a MongoDB-compatible test server. Rates and latencies on it "
            "are its own and say nothing of MongoDB**; only the CPU time of our process does. It "
            "reads a user's whole log for a range of `_id`, so streams on it are short."
        )


def _busy(result: Result) -> Iterator[str]:
    for name, section in result["sections"].items():
        others, steal = section["others_share"], section["steal_share"]
        if others > BUSY_SHARE or steal > BUSY_SHARE:
            yield (
                f"**Busy machine** during {name}: other processes used {others:.0%} of a core, "
                f"the host withheld {steal:.0%}."
            )
            yield ""


if __name__ == "__main__":
    render(read(Path(sys.argv[1])))
