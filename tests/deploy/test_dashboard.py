"""The dashboard asks for what workers export, says what is normal, and fits its grid."""

import json
import re
import sys
from itertools import product
from pathlib import Path

import pytest

from ingest.core.dedupe import Verdict
from tests.deploy.promql import named, unknown

FILE = Path(__file__).parents[2] / "k8s/components/monitoring/dashboard.json"
DASHBOARD = json.loads(FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
OF_GRAFANA = {"__rate_interval", "__range"}
CHOSEN = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN_WORKERS = 'job="$job", instance=~"$instance"'
COLOURS = {
    "accepted": "green",
    "duplicate": "blue",
    "corrected": "purple",
    "stale": "orange",
    "rejected": "red",
}


def in_section(title):
    """The panels below the row of this title."""
    row, found = "", []
    for panel in DASHBOARD["panels"]:
        row = panel["title"] if panel["type"] == "row" else row
        if row == title and panel["type"] != "row":
            found.append(panel)
    return found


OF_GATEWAYS = [target for panel in in_section("Gateway") for target in panel["targets"]]


def panels(test):
    return pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])(test)


def targets(test):
    ids = [f"{title} {target['refId']}" for title, target in TARGETS]
    return pytest.mark.parametrize("target", [t for _, t in TARGETS], ids=ids)(test)


def fixed_colours(panel):
    """The colour of each series that has one of its own."""
    return {
        override["matcher"]["options"]: one["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
        for one in override["properties"]
    }


def test_every_panel_has_an_id_of_its_own():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert sorted(set(ids)) == sorted(ids)


def test_panels_stand_in_the_grid_and_not_on_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        x, y, w, h = (panel["gridPos"][side] for side in "xywh")
        cells = {*product(range(x, x + w), range(y, y + h))}
        assert x + w <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_are_written_in_the_order_in_which_they_are_read():
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in DASHBOARD["panels"]]
    assert places == sorted(places)


def test_only_the_last_row_is_repeated_and_for_each_worker():
    rows = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert [row.get("repeat") for row in rows] == [None] * (len(rows) - 1) + ["instance"]


@panels
def test_every_panel_says_in_a_sentence_what_is_normal_and_what_to_do_otherwise(panel):
    assert re.fullmatch(r"Normal: [^\n]+[;,] [^\n]+\.", panel["description"])


@panels
def test_every_panel_asks_the_chosen_datasource(panel):
    assert panel["datasource"] == CHOSEN


@panels
def test_a_verdict_has_the_same_colour_everywhere(panel):
    named_so = fixed_colours(panel)
    verdicts = {t["legendFormat"] for t in panel["targets"]} & COLOURS.keys()
    assert {verdict: named_so[verdict] for verdict in verdicts} == {
        verdict: COLOURS[verdict] for verdict in verdicts
    }


def test_every_verdict_is_shown():
    (panel,) = (panel for panel in PANELS if panel["title"] == "Records by verdict")
    assert [target["legendFormat"] for target in panel["targets"]] == [*Verdict]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process tells nothing of itself")
@targets
def test_every_metric_and_label_is_one_that_workers_export(target):
    assert unknown(target["expr"]) == set()


@pytest.mark.parametrize("name", sorted({name for _, t in TARGETS for name in named(t["expr"])}))
def test_a_misspelled_metric_is_noticed(name):
    wrong = [json.loads(json.dumps(t["expr"]).replace(name, name + "s")) for _, t in TARGETS]
    assert any(name + "s" in unknown(expression) for expression in wrong)


@targets
def test_every_metric_is_asked_of_the_chosen_job_and_workers_or_of_all_gateways(target):
    of_gateways = target in OF_GATEWAYS
    assert all("job" in labels for labels in named(target["expr"]).values())
    for matchers in re.findall(r"{([^{}]*)}", target["expr"]):
        assert matchers.startswith('job="ingest-gateway"' if of_gateways else CHOSEN_WORKERS)


def test_the_job_to_choose_is_no_gateway():
    (job,) = (v for v in DASHBOARD["templating"]["list"] if v["name"] == "job")
    keeps = re.compile(job["regex"].strip("/"))
    assert not keeps.search("ingest-gateway")
    assert keeps.search("ingest-worker").group() == "ingest-worker"


@targets
def test_every_variable_is_declared(target):
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert {*re.findall(r"\$(\w+)", target["expr"])} <= declared | OF_GRAFANA


@targets
def test_a_legend_names_labels_that_the_expression_keeps(target):
    kept = frozenset().union(*named(target["expr"]).values())
    assert {*re.findall(r"{{(\w+)}}", target["legendFormat"])} <= kept
