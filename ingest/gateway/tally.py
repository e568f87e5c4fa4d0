"""What a push is answered with: counts by verdict, and which records were refused and why."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from ingest.errors import Reason
from ingest.outcome import Verdicts

REFUSED_MAX: Final = 1_000


class Refused(TypedDict):
    """A refused record, or a message refused whole: where it is, and which rule it breaks."""

    message: Annotated[int, Field(ge=0, description="Index of the message in the request.")]
    record: Annotated[
        int | None, Field(ge=0, description="Index in the message; null if it is refused whole.")
    ]
    reason: Reason
    field: str


class Forwarded(TypedDict):
    """What was written to Kafka, for workers to judge; refused is what showed before."""

    messages: int
    records: int
    refused: list[Refused]
    refused_omitted: Annotated[int, Field(description="How many more there are than shown.")]


class Judged(Forwarded):
    """What became of every record; the five counts add up to `records`."""

    accepted: int
    duplicates: int
    corrected: int
    stale: int
    rejected: int


class Tally:
    """The verdicts on the messages of a request so far."""

    def __init__(self) -> None:
        self.messages = self.records = 0
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._refused: list[Refused] = []
        self._omitted = 0

    def add(self, verdicts: Sequence[Verdicts]) -> None:
        """Count some more messages."""
        for message, own in enumerate(verdicts, self.messages):
            self.records += own.records
            for name in _COUNTS:
                self._counts[name] += getattr(own, name)
            for reason, field, place, _, _ in own.refusals:
                if len(self._refused) < REFUSED_MAX:
                    shown = Refused(message=message, record=place, reason=reason, field=field)
                    self._refused.append(shown)
                else:
                    self._omitted += 1
        self.messages += len(verdicts)

    def judged(self) -> dict[str, Any]:
        """As `Judged`."""
        return {**self._sums(), **self._counts, **self._shown()}

    def forwarded(self) -> dict[str, Any]:
        """As `Forwarded`."""
        return {**self._sums(), **self._shown()}

    def has_refused(self, reason: Reason) -> bool:
        """Whether a record was refused for this."""
        return any(refused["reason"] is reason for refused in self._refused)

    def _sums(self) -> dict[str, int]:
        return {"messages": self.messages, "records": self.records}

    def _shown(self) -> dict[str, Any]:
        return {"refused": self._refused, "refused_omitted": self._omitted}


_COUNTS: Final = ("accepted", "duplicates", "corrected", "stale", "rejected")
