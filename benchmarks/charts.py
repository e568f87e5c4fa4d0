"""The charts of the report, as PNG files of `charts/`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Chart

from benchmarks.figures import Figure, floor_micros, micros, parts_of

FOLDER: Final = Path(__file__).with_name("charts")
OURS, OTHERS = "#0b6e99", "#9aa5b1"
# Told apart in every kind of colour blindness (Okabe and Ito), then greys.
COLOURS: Final = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#f0e442")
STAGE_COLOURS: Final = {
    "transport: Faust": "#0072b2",
    "decode": "#56b4e9",
    "append: documents": "#f0e442",
    "append: driver": "#e69f00",
    "read again": "#cc79a7",
    "fold": "#009e73",
    "save": "#d55e00",
    "publish": "#5e3c99",
    "sockets, loop, metrics, waiting": "#bbbbbb",
}
SMALL: Final = 0.02  # a part of less is drawn as the rest
Rows = list[dict[str, Any]]


def draw(name: str, rows: Rows) -> Path:
    """Draw the chart of a section; where it is."""
    FOLDER.mkdir(exist_ok=True)
    mpl.use("agg")
    mpl.rcParams.update(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "legend.frameon": False,
        }
    )
    chart = CHARTS[name](rows)
    path = FOLDER / f"{name}.png"
    chart.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(chart)
    return path


def _contest(rows: Rows) -> Chart:
    """A bar for each contestant: microseconds of a record, less is better."""
    sizes = [*dict.fromkeys(row["size"] for row in rows)]
    chart, panels = pyplot.subplots(1, len(sizes), figsize=(9.5, 2.9), squeeze=False)
    for panel, size in zip(panels[0], sizes, strict=True):
        own = [row for row in rows if row["size"] == size and row["cpu_us"]]
        figures = [Figure.of(row["cpu_us"]) for row in own]
        labels = [row["label"] for row in own]
        colours = [OURS if row["contestant"] == "worker" else OTHERS for row in own]
        _bars(panel, labels, figures, colours)
        panel.set_title(f"{size} record{'s' if size > 1 else ''} a message")
        panel.set_xlabel("us of its CPU a record (less is better)")
    chart.tight_layout()
    return chart


def _bars(panel: Axes, labels: list[str], figures: list[Figure], colours: list[str]) -> None:
    """Horizontal bars with their spread and their number; a long one is cut and says so."""
    middles = [figure.middle for figure in figures]
    usual = sorted(middles)[-2] if len(middles) > 1 else middles[0]
    limit = max(middles) if max(middles) < 4 * usual else 1.6 * usual
    for place, figure in enumerate(figures):
        shown = min(figure.middle, limit)
        panel.barh(place, shown, color=colours[place], height=0.65)
        if shown == figure.middle:
            panel.plot([figure.low, min(figure.high, limit)], [place, place], color="black", lw=1)
        text = f" {figure.middle:,.1f}" + ("  (cut)" if shown < figure.middle else "")
        panel.text(max(shown, min(figure.high, limit)), place, text, va="center", fontsize=8)
    panel.set_yticks(range(len(labels)), labels)
    panel.invert_yaxis()
    panel.set_xlim(0, limit * 1.3)


def _stages(rows: Rows) -> Chart:
    """A stacked bar for each size of message, and one of the floors beside it."""
    sizes = [*dict.fromkeys(row["size"] for row in rows)]
    chart, panels = pyplot.subplots(len(sizes), 1, figsize=(9.5, 1.9 * len(sizes)), squeeze=False)
    for panel, size in zip(panels[:, 0], sizes, strict=True):
        total, parts = parts_of([row for row in rows if row["size"] == size])
        shown = [part for part in parts if part.micros >= SMALL * total.middle]
        rest = total.middle - sum(part.micros for part in shown)
        left = floor_left = 0.0
        for part in shown:
            colour = STAGE_COLOURS.get(part.name, "#888888")
            panel.barh(0, part.micros, left=left, color=colour, label=part.name, height=0.7)
            left += part.micros
            if part.floor:
                panel.barh(1, part.floor, left=floor_left, color=colour, height=0.7)
                floor_left += part.floor
        panel.barh(0, rest, left=left, color="#dddddd", label="all else", height=0.7)
        panel.text(total.middle, 0, f" {total.middle:,.1f}", va="center")
        panel.text(floor_left, 1, f" {floor_left:,.1f}", va="center")
        panel.set_yticks([0, 1], ["worker", "libraries\nalone"])
        panel.invert_yaxis()
        panel.set_xlim(0, max(total.middle, floor_left) * 1.1)
        panel.set_title(f"{size} record{'s' if size > 1 else ''} a message")
        panel.set_xlabel("us of CPU a record")
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7)
    chart.tight_layout()
    return chart


def _backends(rows: Rows) -> Chart:
    """Groups of bars by stream: each store and its floor."""
    streams = [*dict.fromkeys(row["stream"] for row in rows)]
    stores = [*dict.fromkeys(row["backend"] for row in rows)]
    chart, panel = pyplot.subplots(figsize=(9.5, 3.2))
    width = 0.8 / len(stores)
    for number, store in enumerate(stores):
        own = {row["stream"]: row for row in rows if row["backend"] == store}
        places = [place + number * width for place, _ in enumerate(streams)]
        costs = [micros(own[stream]["rounds"], "pipeline").middle for stream in streams]
        floors = [floor_micros(own[stream]["rounds"]).middle for stream in streams]
        panel.bar(places, costs, width * 0.9, color=COLOURS[number], label=store)
        for place, floor in zip(places, floors, strict=True):
            panel.plot([place - width * 0.45, place + width * 0.45], [floor] * 2, color="black")
    panel.plot([], [], color="black", label="floor: libraries alone")
    middle = width * (len(stores) - 1) / 2
    labels = [stream.replace(", ", "\n") for stream in streams]
    panel.set_xticks([place + middle for place, _ in enumerate(streams)], labels)
    panel.set_ylabel("us of CPU a record")
    panel.legend()
    chart.tight_layout()
    return chart


def _scale(rows: Rows) -> Chart:
    """A line for each series, on logarithmic axes."""
    series = [*dict.fromkeys(row["series"] for row in rows)]
    chart, panels = pyplot.subplots(1, 3, figsize=(9.5, 3.0), sharey=True)
    groups = ("records stored", "users", "snapshots a day")
    for panel, group in zip(panels, groups, strict=True):
        for number, name in enumerate(own for own in series if own.startswith(group)):
            points = [row for row in rows if row["series"] == name]
            costs = [micros(row["rounds"], "pipeline").middle for row in points]
            label = name.removeprefix(group).strip(", ")
            panel.plot(
                [row["size"] for row in points],
                costs,
                marker="o",
                color=COLOURS[number],
                label=label,
            )
            if label:
                panel.legend(fontsize=8)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(group)
    panels[0].set_ylabel("us of CPU a record")
    chart.tight_layout()
    return chart


CHARTS: Final[dict[str, Callable[[Rows], Chart]]] = {
    "contest": _contest,
    "stages": _stages,
    "backends": _backends,
    "scale": _scale,
}
