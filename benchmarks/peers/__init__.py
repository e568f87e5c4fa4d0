"""Other ways to bring the same messages into the same store, and what each of them does not do.

Each runs as `python -m benchmarks.peers.<module>` until it is stopped, on what the environment
says: KAFKA_BROKERS, TOPIC, KAFKA_GROUP, MONGODB_URI, MONGODB_DATABASE. It reads both forms of a
message and stores its events in `events`; where it has totals, they are in `daily_totals`.
"""

import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

DEDUPE: Final = "dedupe"
CONFLICTS: Final = "conflicts"
CORRECTIONS: Final = "corrections"
TOTALS: Final = "totals"
REDELIVERY: Final = "redelivery-safe"
SPLITS: Final = "splits messages"
_DEPENDENCY: Final = re.compile(r"<artifactId>([a-z-]+)</artifactId>\s*<version>([0-9.]+)<")


class Peer(NamedTuple):
    """A module of this package, what a report calls it, its versions, and what it lacks.

    `needs` are programs without which it cannot run.
    """

    module: str
    label: str
    versions: Callable[[], str]
    lacks: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def can_run(self) -> bool:
        return all(map(shutil.which, self.needs))


def of_python(*packages: str) -> Callable[[], str]:
    """What is installed of these packages."""
    return lambda: ", ".join(f"{package} {version(package)}" for package in packages)


def of_java(*artifacts: str) -> Callable[[], str]:
    """What `pom.xml` names of these artifacts."""

    def versions() -> str:
        found = dict(_DEPENDENCY.findall(Path(__file__).with_name("pom.xml").read_text()))
        return ", ".join(f"{artifact} {found[artifact]}" for artifact in artifacts)

    return versions


PEERS: Final = (
    Peer(
        "faust_textbook",
        "Faust, textbook",
        of_python("faust-streaming", "pymongo"),
        (DEDUPE, CONFLICTS, CORRECTIONS, REDELIVERY),
    ),
    Peer(
        "faust_batched",
        "Faust, batched",
        of_python("faust-streaming", "pymongo"),
        (DEDUPE, CONFLICTS, CORRECTIONS, TOTALS, REDELIVERY),
    ),
    Peer(
        "quix_sink",
        "Quix Streams, sink",
        of_python("quixstreams", "confluent-kafka", "pymongo"),
        (CONFLICTS, CORRECTIONS, TOTALS),
    ),
    Peer(
        "lean_floor",
        "aiokafka, insert_many",
        of_python("aiokafka", "pymongo", "orjson"),
        (DEDUPE, CONFLICTS, CORRECTIONS, TOTALS, REDELIVERY),
    ),
    Peer(
        "mongo_connector",
        "Kafka Connect, MongoDB",
        of_java("connect-runtime", "mongo-kafka-connect"),
        (CONFLICTS, CORRECTIONS, TOTALS, SPLITS),
        needs=("java", "mvn"),
    ),
)
