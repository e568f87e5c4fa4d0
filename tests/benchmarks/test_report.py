"""What is committed of the benchmarks: rendered from results, and complete."""

import re
from pathlib import Path

import pytest

from benchmarks.peers import PEERS
from benchmarks.report import CHARTS, REPORT, text_of
from benchmarks.results import FOLDER, read
from benchmarks.tables import SECTIONS

HTTP = FOLDER.with_name("http.json")  # measured after the whole run
README = Path("README.md").read_text()


def newest() -> Path:
    return max(path for path in FOLDER.glob("*.json") if not path.stem.endswith("quick"))


def test_the_report_is_what_the_newest_results_render_to() -> None:
    assert REPORT.read_text() == text_of(read(newest()))


def test_the_results_have_every_section() -> None:
    sections = {**read(newest())["sections"], **read(HTTP)["sections"]}
    assert sections.keys() == SECTIONS.keys()
    assert not any("failure" in section for section in read(HTTP)["sections"].values())


def test_the_section_that_was_measured_later_can_be_shown() -> None:
    [(name, section)] = read(HTTP)["sections"].items()
    shown = "\n".join(SECTIONS[name](section["rows"]))
    assert all(row["way"] in shown for row in section["rows"])


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_there(name: str) -> None:
    assert (REPORT.parent / "charts" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_charts_of_the_readme_are_those_of_the_report() -> None:
    shown = re.findall(r"benchmarks/charts/(\w+)\.png", README)
    assert shown
    assert {*shown} <= {*CHARTS}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_a_peer_is_short(peer: object) -> None:
    lines = Path(f"benchmarks/peers/{peer.module}.py").read_text().splitlines()  # type: ignore[attr-defined]
    assert len(lines) < 100
