"""A real Kafka broker for the tests: the one that is named, or one of our own.

`INGEST_TEST_KAFKA` names one, without credentials. Otherwise, where Java 17 and Maven are, Apache
Kafka comes from Maven Central and runs as broker and controller in one process, on free ports of
the loopback. Where there is neither, tests skip, or fail if services are required.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mongodb import missing
from tests.server_process import DEADLINE_SECONDS, ServerProcess

NAMED = os.environ.get("INGEST_TEST_KAFKA")
POM = Path(__file__).with_name("pom.xml")
USER: Final = "ann"
PASSWORD: Final = "a secret; \"of ann's"  # noqa: S105 - of a broker on the loopback
SCRAM_USER: Final = "scram"
SCRAM_PASSWORD: Final = "scram-secret"  # noqa: S105 - as above
LISTENERS: Final = {"PLAINTEXT": "PLAINTEXT", "SASL": "SASL_PLAINTEXT", "TLS": "SASL_SSL"}
LOGIN: Final = (
    "org.apache.kafka.common.security.{module} required "
    'user_ann="a secret; \\\\"of ann\'s" username="ann" password="a secret; \\\\"of ann\'s";'
)


class Broker(ServerProcess):
    """A broker process of our own, which can be killed, stopped for a while and started again."""

    def __init__(self, folder: Path, classpath: str, *others: str) -> None:
        self._folder = folder
        self._others = others
        self._classpath = classpath
        ports = _free_ports(len(LISTENERS) + 1)
        self._controller = ports.pop()
        self._ports = dict(zip(LISTENERS, ports, strict=True))
        self._properties = folder / "server.properties"
        self.certificate = folder / "certificate.pem"

    def address(self, listener: str = "PLAINTEXT") -> str:
        return f"127.0.0.1:{self._ports[listener]}"

    def prepare(self) -> None:
        """What a broker needs before its first start: a certificate and a formatted folder."""
        self._make_certificate()
        self._properties.write_text("\n".join([*self._settings(), *self._others]))
        cluster = self._java("kafka.tools.StorageTool", "random-uuid").split()[-1]
        scram = f"SCRAM-SHA-256=[name={SCRAM_USER},password={SCRAM_PASSWORD}]"
        self._java(
            *("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties)),
            *("--add-scram", scram),
        )

    def start(self) -> None:
        """Start it, and wait until it listens."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own server
                [
                    *("java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", self._classpath),
                    *("kafka.Kafka", str(self._properties)),
                ],
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._listens():
            assert self._process.poll() is None, f"the broker ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.05)

    def _listens(self) -> bool:
        for port in self._ports.values():
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    def _settings(self) -> Iterator[str]:
        addresses = [f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()]
        controller = f"127.0.0.1:{self._controller}"
        protocols = [f"{name}:{protocol}" for name, protocol in LISTENERS.items()]
        yield "process.roles=broker,controller"
        yield "node.id=1"
        yield f"controller.quorum.voters=1@{controller}"
        yield f"listeners={','.join([*addresses, f'CONTROLLER://{controller}'])}"
        yield f"advertised.listeners={','.join(addresses)}"
        yield "controller.listener.names=CONTROLLER"
        yield "inter.broker.listener.name=PLAINTEXT"
        yield f"listener.security.protocol.map={','.join([*protocols, 'CONTROLLER:PLAINTEXT'])}"
        for name in ("sasl", "tls"):
            plain = LOGIN.format(module="plain.PlainLoginModule")
            scram = LOGIN.format(module="scram.ScramLoginModule")
            yield f"listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256"
            yield f"listener.name.{name}.plain.sasl.jaas.config={plain}"
            yield f"listener.name.{name}.scram-sha-256.sasl.jaas.config={scram}"
        yield f"listener.name.tls.ssl.keystore.location={self._folder / 'keys.p12'}"
        yield "listener.name.tls.ssl.keystore.type=PKCS12"
        yield "listener.name.tls.ssl.keystore.password=changeit"
        yield f"log.dirs={self._folder / 'logs'}"
        yield "offsets.topic.num.partitions=1"
        for topic in ("offsets", "transaction.state.log", "share.coordinator.state"):
            infix = ".topic" if topic != "transaction.state.log" else ""
            yield f"{topic}{infix}.replication.factor=1"
        yield "transaction.state.log.min.isr=1"
        yield "share.coordinator.state.topic.min.isr=1"
        yield "group.initial.rebalance.delay.ms=0"
        yield "broker.session.timeout.ms=2000"  # how long a killed one is still thought to be there
        yield "broker.heartbeat.interval.ms=500"
        yield "auto.create.topics.enable=false"

    def _make_certificate(self) -> None:
        store = ["-alias", "broker", "-keystore", str(self._folder / "keys.p12")]
        store += ["-storetype", "PKCS12", "-storepass", "changeit"]
        _run(
            *("keytool", "-genkeypair", *store, "-keyalg", "EC", "-dname", "CN=127.0.0.1"),
            *("-ext", "san=ip:127.0.0.1", "-validity", "30"),
        )
        _run("keytool", "-exportcert", "-rfc", *store, "-file", str(self.certificate))

    def _java(self, *arguments: str) -> str:
        return _run("java", "-cp", self._classpath, *arguments)


def settings_of(address: str, name: str) -> dict[str, str]:
    """The environment of a command on a broker, with topics and a group named after `name`."""
    return {
        "KAFKA_BROKERS": address,
        "KAFKA_GROUP": name,
        "KAFKA_PARTITIONS": "4",
        "KAFKA_SESSION_TIMEOUT": "6s",
        "TOPIC_ACTIVITY_EVENTS": f"{name}-activity-events",
        "TOPIC_HEALTH_SNAPSHOTS": f"{name}-health-snapshots",
        "TOPIC_DAILY_TOTALS": f"{name}-daily-totals",
        "TOPIC_DEAD_LETTERS": f"{name}-dead-letters",
        "WEB_PORT": "0",
    }


@contextmanager
def running(folder: Path, *others: str) -> Iterator[Broker]:
    """A broker of our own for as long as the block runs; skips or fails where there is none.

    `others` are more lines of its settings; the last line of a name counts.
    """
    for program in ("java", "mvn", "keytool"):
        if shutil.which(program) is None:
            missing(f"no {program}: install Java 17 and Maven, or set INGEST_TEST_KAFKA")
    broker = Broker(folder, _classpath(folder / "classpath"), *others)
    try:
        broker.prepare()
        broker.start()
        yield broker
    finally:
        broker.stop()


def _classpath(file: Path) -> str:
    """Where Maven keeps what a broker is made of."""
    _run(
        *("mvn", "-q", "-B", "-f", str(POM), "dependency:build-classpath"),
        f"-Dmdep.outputFile={file}",
    )
    return file.read_text()


def _run(*command: str) -> str:
    done = subprocess.run(  # noqa: S603 - the tools of Java
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def _free_ports(count: int) -> list[int]:
    probes: Sequence[socket.socket] = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
