"""What can go wrong, in families named by what happens next (DESIGN section 8).

`RecordRefused`: dead-letter the record and go on. `BatchRetryable`: acknowledge nothing, run the
batch again. `BatchDropped`: leave it to the worker that has its partition now. `WorkerStopped`: a
bug or a broken promise; stop with nothing acknowledged.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a record or a whole message was refused (DESIGN sections 2 and 3; `core/capacity.py`)."""

    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    TOO_MANY_RECORDS = "TOO_MANY_RECORDS"
    INVALID_ID = "INVALID_ID"
    INVALID_RECORD = "INVALID_RECORD"
    INVALID_TIMESTAMP = "INVALID_TIMESTAMP"
    NAIVE_TIMESTAMP = "NAIVE_TIMESTAMP"
    FUTURE_TIMESTAMP = "FUTURE_TIMESTAMP"
    NEGATIVE_VALUE = "NEGATIVE_VALUE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    OUT_OF_RANGE_HR = "OUT_OF_RANGE_HR"
    DAY_FULL = "DAY_FULL"
    CONFLICT_DIFFERENT_DATA = "CONFLICT_DIFFERENT_DATA"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"


class RecordRefused(Exception):  # noqa: N818 - named by what happens next, as the module says
    """Refuse this record (or message): `reason` says which rule broke, `field` where."""

    def __init__(self, reason: Reason, field: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.reason = reason
        self.field = field


class BatchRetryable(Exception):  # noqa: N818 - as above
    """The batch did not finish through no fault of its records; run it again, whole."""


class StoreUnavailable(BatchRetryable):
    """The store is away, or did not say in time whether a write is durable."""


class QueueUnavailable(BatchRetryable):
    """The broker is away, or did not say in time that a message is written."""


class BatchDropped(Exception):  # noqa: N818 - as above
    """The batch's partition is another worker's now: neither publish nor acknowledge."""


class WorkerStopped(Exception):  # noqa: N818 - as above
    """A promise is broken; going on could make a day wrong."""


class WorkerUnavailable(Exception):  # noqa: N818 - as above
    """No worker answers on its web port; the text is one clear line."""


class SettingsInvalid(Exception):  # noqa: N818 - as above
    """The environment holds a value this program does not start on; the text is one clear line."""


class StoreUnusable(WorkerStopped):
    """The store is there, but not for this program; the text is one line that says what to do."""


class QueueUnusable(WorkerStopped):
    """The broker is there, but not for this program; the text is one line that says what to do."""


class FileUnusable(Exception):  # noqa: N818 - as above
    """A file cannot be read or written; the text is one clear line."""
