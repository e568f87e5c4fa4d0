"""What an expression names is found, whatever stands around it, and what is not exported."""

import pytest

from tests.deploy.promql import exported, named, unknown


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ("up", {"up": set()}),
        ("a:b:c{} > bool 1e-3", {"a:b:c": set()}),
        ('a{x="1", y=~"b|c"} - b', {"a": {"x", "y"}, "b": set()}),
        ('a{x="b{y} # c"} # d', {"a": {"x"}}),
        ('a{x="\\"} or b{"}', {"a": {"x"}}),
        ("rate(a[$__rate_interval]) offset 1h30m", {"a": set()}),
        ("max_over_time(a[1h:5m] @ end()) / 0x1F", {"a": set()}),
        ("sum by (x) (a) / sum without (y) (b)", {"a": {"x"}, "b": {"y"}}),
        ("SUM(a) BY (x) OR b", {"a": {"x"}, "b": set()}),
        ("sum by (x) (max by (y) (a) > 0)", {"a": {"x", "y"}}),
        ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))", {"a_bucket": {"le"}}),
        ("topk(12, a) unless on (x) b", {"a": {"x"}, "b": {"x"}}),
        ("(a * on (x) group_left (v) b) + c", {"a": {"x"}, "b": {"x", "v"}, "c": set()}),
        ('a or on() label_replace(vector(0), "x", "none", "", "")', {"a": set()}),
        ("a{x='1'} + a{y=`2`}", {"a": {"x", "y"}}),
        ("-Inf < nan + time()", {}),
        ("sum", {"sum": set()}),
    ],
)
def test_metrics_are_found_with_the_labels_used_with_them(expression, metrics):
    assert named(expression) == metrics


@pytest.mark.parametrize(
    "expression", ['{__name__="a"}', "a))", "a on (x) group_right (y) b", "a & b", 'a{x="}']
)
def test_what_is_not_understood_is_said(expression):
    with pytest.raises(ValueError, match=r"not |too many"):
        named(expression)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("ingest_records_total", {"topic", "verdict"}),
        ("ingest_store_seconds_bucket", {"call", "le"}),
        ("ingest_store_seconds_sum", {"call"}),
        ("ingest_messages_total", set()),
        ("ingest_lag", {"topic", "partition"}),
        ("ingest_build_info", {"version", "python"}),
        ("python_gc_collections_total", {"generation"}),
        ("up", set()),
    ],
)
def test_every_kind_of_metric_is_known_by_its_samples(name, labels):
    assert exported()[name] == labels


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ('rate(ingest_records_total{job="j", verdict="stale"}[5m])', set()),
        ("ingest_records", {"ingest_records"}),
        ("sum by (instance, topics) (ingest_lag)", {"ingest_lag{topics}"}),
        (
            "sum by (le) (ingest_batch_seconds_sum) + x{y='z'}",
            {"ingest_batch_seconds_sum{le}", "x"},
        ),
    ],
)
def test_what_no_worker_exports_is_unknown(expression, wrong):
    assert unknown(expression) == wrong
