import pytest

from benchmarks.figures import Figure, floor_micros, growth_of, micros, parts_of, per_second


def test_a_figure_has_the_median_and_the_spread() -> None:
    assert Figure.of([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert Figure.of([3.0, 1.0, 2.0]).text(1) == "2.0 (1.0-3.0)"


def test_costs_are_microseconds_of_a_record() -> None:
    rounds = [{"pipeline": 0.002, "records": 1000}, {"pipeline": 0.004, "records": 1000}]
    assert micros(rounds, "pipeline") == pytest.approx((3.0, 2.0, 4.0))
    assert per_second(rounds, "pipeline", 1000.0).low == pytest.approx(250_000)


def test_the_floor_of_a_database_counts_its_own_records() -> None:
    own = {"pydantic": 1e-3, "records": 1000, "bson": 1e-4, "driver": 1e-4, "floor_records": 100}
    assert floor_micros([own]).middle == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("costs", "verdict"),
    [
        ((10.0, 10.0), "no faster than the logarithm"),
        ((10.0, 14.0), "no faster than the logarithm"),
        ((10.0, 60.0), "FASTER"),
    ],
)
def test_what_grows_faster_than_the_logarithm_is_named(
    costs: tuple[float, float], verdict: str
) -> None:
    rows = [
        {"size": size, "rounds": [{"pipeline": cost, "records": 1}]}
        for size, cost in zip((100, 1000), costs, strict=True)
    ]
    assert verdict in growth_of(rows)


def test_the_stages_of_a_worker_add_up_to_what_it_costs() -> None:
    stages = ("decode", "judge", "append", "read again", "fold", "save", "publish", "outcome")
    spent = dict.fromkeys([*stages, "documents", "acknowledge"], 0.001)
    spent |= {"append": 0.004, "pipeline": 0.015, "cpu": 0.03}
    floors = ("pydantic", "bson", "driver", "driver_save", "kafka_client_publish")
    rows = [
        {"reader": name, "size": 60, "records": 1000, "rounds": [{"cpu": 0.005}]}
        for name in ("getmany", "transport", "worker in memory")
    ]
    rows.append(
        {
            "reader": "worker on MongoDB",
            "size": 60,
            "records": 1000,
            "rounds": [spent],
            "floors": [dict.fromkeys(floors, 0.001)],
        }
    )
    total, parts = parts_of(rows)
    by_name = {part.name: part.micros for part in parts}
    assert total.middle == pytest.approx(30)
    assert sum(by_name.values()) == pytest.approx(30)
    assert by_name["append: driver"] == pytest.approx(3)
    assert by_name["between the steps"] == pytest.approx(4)
