"""The counts of a batch hold each other to account."""

import pytest

from ingest.core.dedupe import Keyed, Verdict
from ingest.core.records import Kind
from ingest.core.refusals import Decoded
from ingest.errors import WorkerStopped
from ingest.outcome import Judged, Settled, outcome_of
from ingest.ports import Message

TWO_RECORDS = Keyed([Decoded(Kind.ACTIVITY, "u1", 2, (), (), None, None)], {}, {})
MESSAGES = [Message(b"", None, "f", 0, 1)]
NOTHING_SETTLED = Settled([], 0, 0, 0, {})
NOTHING_JUDGED = Judged(TWO_RECORDS.decoded, [], [])


def test_every_record_with_one_verdict_is_counted():
    outcome = outcome_of(
        MESSAGES,
        TWO_RECORDS,
        {Kind.ACTIVITY: (1, [Verdict.STALE])},
        [],
        NOTHING_SETTLED,
        NOTHING_JUDGED,
    )
    assert (outcome.records, outcome.accepted, outcome.stale) == (2, 1, 1)


@pytest.mark.parametrize("accepted", [0, 2], ids=["a record without one", "a record with two"])
def test_verdicts_that_do_not_add_up_stop_the_worker(accepted):
    with pytest.raises(WorkerStopped, match="2 records were received"):
        outcome_of(
            MESSAGES,
            TWO_RECORDS,
            {Kind.ACTIVITY: (accepted, [Verdict.STALE])},
            [],
            NOTHING_SETTLED,
            NOTHING_JUDGED,
        )
