"""Two workers on a real broker and a real store come to the truth, whatever is sent to them."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import settings_of
from tests.e2e.workers import Fleet, fleet_of, simulated

pytestmark = pytest.mark.e2e

MONTH = simulated(users=50, days=1)


@pytest.fixture
def fleet(
    tmp_path: Path, kafka_settings: dict[str, str], mongodb_uri: str, mongodb_database: str
) -> Fleet:
    environment = kafka_settings | settings_of(mongodb_uri, mongodb_database)
    with fleet_of(tmp_path, environment) as prepared:
        yield prepared


def test_every_total_is_the_truth_in_the_store_and_in_the_topic(fleet: Fleet, ingest: Ingest):

    workers = fleet.started(2)
    fleet.send(MONTH.lines)
    fleet.finish()
    assert fleet.stored() == MONTH.truth
    assert fleet.published() == MONTH.truth
    assert fleet.published_out_of_order() == []
    verified = ingest("db", "verify", **fleet.environment)
    assert verified.status == 0, verified
    records = sum(worker.metric("ingest_records_total") for worker in workers)
