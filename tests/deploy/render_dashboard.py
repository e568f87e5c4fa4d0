"""Draws the dashboard from a running Prometheus, where there is no Grafana to look at it with.

    python -m tests.deploy.render_dashboard --prometheus http://127.0.0.1:9090 --out ingest.png

It needs the extra `bench`. The exit status is 1, with a line for each panel, if Prometheus refuses
an expression or has no series at all for a panel.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib import colors, dates, pyplot, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.deploy.prometheus import EVERY_WORKER, Prometheus, Refused, Series, replaced

DASHBOARD: Final = Path(__file__).parents[2] / "k8s/components/monitoring/dashboard.json"
COLUMNS: Final = 24
WIDTH, HEIGHT = 0.8, 0.38  # inches of a column and of a row of the grid
COLOURS: Final = {
    "green": "#56a64b",
    "blue": "#3274d9",
    "purple": "#a352cc",
    "orange": "#ff780a",
    "red": "#e02f44",
    "text": "#222222",
}
OTHERS: Final = tuple(str(colors.to_hex(colour)) for colour in mpl.colormaps["tab20"].colors)
SCALES: Final = {
    "percentunit": ((0.01, " %"),),
    "bytes": ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")),
    "s": ((86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "short": ((1e6, " Mil"), (1e3, " K"), (1, "")),
    "none": ((1, ""),),
}
Panel = Mapping[str, Any]


class Placed(NamedTuple):
    """A panel, the row of the grid it begins in, and the worker it is of, or all."""

    panel: Panel
    y: int
    worker: str
    title: str

    @property
    def height(self) -> int:
        height: int = self.panel["gridPos"]["h"]
        return height


def laid_out(panels: Sequence[Panel], workers: Sequence[str]) -> Iterator[Placed]:
    """Every panel in its place; those of a repeated row once for each worker."""
    y = 0
    rows = [number for number, panel in enumerate(panels) if panel["type"] == "row"]
    for first, end in zip(rows, [*rows[1:], len(panels)], strict=True):
        section = panels[first:end]
        top = section[0]["gridPos"]["y"]
        for worker in workers if "repeat" in section[0] else [EVERY_WORKER]:
            for panel in section:
                title = replaced(panel["title"], {"instance": worker})
                yield Placed(panel, y + panel["gridPos"]["y"] - top, worker, title)
            y += max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in section) - top


def written(value: float, defaults: Mapping[str, Any]) -> str:
    """A value with its unit, as `fieldConfig` has it."""
    if not math.isfinite(value):
        return str(value)
    scales = SCALES[defaults["unit"]]
    size, suffix = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    if not value:
        size, suffix = next(scale for scale in scales if scale[0] <= 1)
    number = value / size
    places = defaults.get("decimals", max(0, 2 - len(str(int(abs(number))))))
    return f"{number:.{places}f}{suffix}"


def draw(prometheus: Prometheus, dashboard: Panel, out: Path) -> list[str]:
    """Draw it; what is wrong, a line for each panel."""
    placed = [*laid_out(dashboard["panels"], prometheus.workers())]
    rows = max(one.y + one.height for one in placed)
    figure = pyplot.figure(figsize=(COLUMNS * WIDTH, rows * HEIGHT))
    wrong = [problem for one in placed if (problem := _draw(prometheus, figure, one, rows))]
    figure.savefig(out, dpi=90)
    return wrong


def _draw(prometheus: Prometheus, figure: Figure, placed: Placed, rows: int) -> str | None:
    panel, is_row = placed.panel, placed.panel["type"] == "row"
    corner = panel["gridPos"]["x"] / COLUMNS + 0.003, 1 - (placed.y + 0.3) / rows
    figure.text(*corner, placed.title, size=12 if is_row else 9, weight="bold", va="top")
    if is_row:
        return None
    try:
        found = [s for t in panel["targets"] for s in prometheus.series(t, placed.worker)]
    except Refused as error:
        return f"{placed.title} ({placed.worker}): {error}"
    axes = _axes(figure, placed, rows, len(found))
    if panel["type"] == "stat":
        _stat(axes, panel, found)
    else:
        _graph(axes, panel, found, prometheus.times)
    return None if found else f"{placed.title} ({placed.worker}): no series"


def _axes(figure: Figure, placed: Placed, rows: int, count: int) -> Axes:
    """Axes inside a panel, with room for its title, its labels and a legend of so many names."""
    x, w, h = (placed.panel["gridPos"][side] for side in "xwh")
    lines = math.ceil(count / (w // 3)) if placed.panel["type"] == "timeseries" else 0
    below, above = 0.8 + 0.4 * lines, 1.1
    bottom = 1 - (placed.y + h - below) / rows
    size = w / COLUMNS - 0.036, (h - below - above) / rows
    return figure.add_axes((x / COLUMNS + 0.03, bottom, *size))


def _stat(axes: Axes, panel: Panel, found: Sequence[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_axis_off()
    text, colour = defaults.get("noValue", "No data"), "text"
    for series in found:
        value = [*series.points.values()][-1]
        steps = defaults["thresholds"]["steps"]
        colour = [s["color"] for s in steps if s["value"] is None or value >= s["value"]][-1]
        mapped = defaults.get("mappings", [{"options": {}}])[0]["options"].get(f"{value:.0f}")
        text = mapped["text"] if mapped else written(value, defaults)
    axes.text(0.4, 0.5, text, size=20, color=COLOURS[colour], ha="center", va="center")


def _graph(axes: Axes, panel: Panel, found: Sequence[Series], times: range) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    colours = _colours(panel, found)
    lines = [[series.points.get(at, math.nan) for at in times] for series in found]
    at = [datetime.fromtimestamp(moment, UTC) for moment in times]
    legends = [series.legend for series in found]
    if "stacking" in defaults["custom"]:
        axes.stackplot(at, *lines, labels=legends, colors=colours, alpha=0.7)
    else:
        for line, legend, colour in zip(lines, legends, colours, strict=True):
            axes.plot(at, line, label=legend, color=colour, linewidth=1.2)
    axes.set_xlim(at[0], at[-1])
    _scale(axes, defaults)
    _finish(axes, defaults, len(found), max(1, panel["gridPos"]["w"] // 3))


def _colours(panel: Panel, found: Sequence[Series]) -> list[str]:
    fixed = {
        override["matcher"]["options"]: COLOURS[override["properties"][0]["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
    }
    others = cycle(OTHERS)
    return [fixed.get(series.legend) or next(others) for series in found]


def _scale(axes: Axes, defaults: Mapping[str, Any]) -> None:
    room = 1.08
    if "scaleDistribution" in defaults["custom"]:
        axes.set_yscale("symlog", linthresh=1)
        room = 3
    if "min" in defaults:
        highest = axes.dataLim.y1
        axes.set_ylim(defaults["min"], defaults.get("max", room * highest if highest > 0 else 1))
    if defaults.get("decimals") == 0:
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    for step in defaults.get("thresholds", {"steps": []})["steps"][1:]:
        axes.axhline(step["value"], color=COLOURS[step["color"]], linestyle="--", linewidth=0.8)


def _finish(axes: Axes, defaults: Mapping[str, Any], count: int, columns: int) -> None:
    """Axes with their units, and the legend below them."""
    ticks = dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(ticks, show_offset=False))
    axes.yaxis.set_major_formatter(lambda value, _: written(value, defaults))
    axes.set_ylabel(defaults["custom"].get("axisLabel", ""), size=7)
    axes.tick_params(labelsize=7)
    axes.grid(linewidth=0.3)
    if count:
        inches = axes.get_position().height * axes.figure.get_figheight()
        anchor = {"loc": "upper left", "bbox_to_anchor": (0, -0.22 / inches), "borderaxespad": 0}
        axes.legend(ncols=min(count, columns), fontsize=6.5, frameon=False, **anchor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--scrape-seconds", type=int, default=5)
    given = parser.parse_args(arguments)
    mpl.use("agg")
    now = int(time.time())
    span = now - round(given.minutes * 60), now
    prometheus = Prometheus(given.prometheus, "ingest-worker", *span, given.scrape_seconds)
    wrong = draw(prometheus, json.loads(DASHBOARD.read_text()), given.out)
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
