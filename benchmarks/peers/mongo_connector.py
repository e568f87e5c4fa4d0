"""MongoDB's own sink connector in Kafka Connect standalone: upserts by a business key.

It cannot split a message. With one record a message (`RECORDS_PER_MESSAGE=1`, the default) user,
device and time find a document, by a unique index, as MongoDB's documentation has it. A message of
more is stored as the one document it is, found by its place in the topic: no field at its top level
is unique. This process becomes the JVM, with the options that Kafka's own script gives it.
"""

import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pymongo

POM = Path(__file__).with_name("pom.xml")
KEY = ("user_id", "device_id", "ts")
PROGRAM = "org.apache.kafka.connect.cli.ConnectStandalone"
STRATEGIES = "com.mongodb.kafka.connect.sink"
OPTIONS = (
    *("-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"),
    *("-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
    "-Djava.awt.headless=true",
)
BY_BUSINESS_KEY = {
    "document.id.strategy": f"{STRATEGIES}.processor.id.strategy.PartialValueStrategy",
    "document.id.strategy.partial.value.projection.type": "AllowList",
    "document.id.strategy.partial.value.projection.list": ",".join(KEY),
    "writemodel.strategy": f"{STRATEGIES}.writemodel.strategy.ReplaceOneBusinessKeyStrategy",
}
BY_PLACE = {
    "document.id.strategy": f"{STRATEGIES}.processor.id.strategy.KafkaMetaDataStrategy",
    "writemodel.strategy": f"{STRATEGIES}.writemodel.strategy.ReplaceOneDefaultStrategy",
}


def main() -> None:
    """Become Kafka Connect."""
    folder = Path(tempfile.mkdtemp(prefix="connect-"))
    is_single = os.environ.get("RECORDS_PER_MESSAGE", "1") == "1"
    if is_single:
        index_key()
    strategy = BY_BUSINESS_KEY if is_single else BY_PLACE
    settings = {"worker": worker(folder), "connector": connector() | strategy}
    files = [written(folder / f"{name}.properties", own) for name, own in settings.items()]
    arguments = [*OPTIONS, "-cp", classpath(folder / "classpath"), PROGRAM, *files]
    os.execvp("java", ["java", *arguments])  # noqa: S606, S607 - whatever Java is here


def index_key() -> None:
    """The unique index without which two upserts could insert one key twice."""
    with pymongo.MongoClient(os.environ["MONGODB_URI"]) as client:
        client[os.environ["MONGODB_DATABASE"]].events.create_index([*KEY], unique=True)


def worker(folder: Path) -> dict[str, str]:
    """Connect's settings."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return {
        "bootstrap.servers": os.environ["KAFKA_BROKERS"],
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "offset.storage.file.filename": str(folder / "offsets"),  # of sources; a sink has a group
        "listeners": f"http://127.0.0.1:{port}",
    }


def connector() -> dict[str, str]:
    """The connector's settings."""
    return {
        "name": os.environ["KAFKA_GROUP"],
        "consumer.override.group.id": os.environ["KAFKA_GROUP"],
        "connector.class": "com.mongodb.kafka.connect.MongoSinkConnector",
        "topics": os.environ["TOPIC"],
        "connection.uri": os.environ["MONGODB_URI"],
        "database": os.environ["MONGODB_DATABASE"],
        "collection": "events",
    }


def written(file: Path, settings: dict[str, str]) -> str:
    """The path of a file of these settings."""
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return str(file)


def classpath(file: Path) -> str:
    """Where Maven keeps what Connect is made of."""
    goal = ["dependency:build-classpath", f"-Dmdep.outputFile={file}"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True)  # noqa: S603, S607
    return file.read_text()


if __name__ == "__main__":
    main()
