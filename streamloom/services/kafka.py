"""Kafka: one process that is broker and controller (KRaft), from jars that Maven fetches once."""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamloom.services.process import Command
from streamloom.services.server import BASE_DIR, HOST, MissingService, Server, ServiceFailed, require

POM = BASE_DIR / "compose" / "native" / "pom.xml"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JAVA_LEAST = 17
_FETCH_S = 600

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After SIGKILL the broker waits for its own old registration: 2 s instead of 9. For development only.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# A dead producer's transaction is aborted at its timeout and up to this later (10 s by default).
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""
_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.c.ref=C
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %c{1} %m%n
"""


class Kafka(Server):
    """A broker with plain listeners on the loopback interface."""

    name = "kafka"

    def check(self) -> None:
        require(self.name, "java", "openjdk-17-jre-headless")
        version = _java_version()
        if version < _JAVA_LEAST:
            raise MissingService(
                self.name, f"Java {version} is too old; on Debian: apt-get install openjdk-17-jre-headless"
            )
        libraries()

    def prepare(self) -> None:
        controller_port = self.number("controller_port")
        text = _PROPERTIES.format(host=HOST, port=self.port, controller_port=controller_port, data=self.folder / "data")
        self._properties.write_text(text)
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        if not (self.folder / "formatted").exists():
            self._format()

    def _format(self) -> None:
        # A format that was cut short is simply done again: nothing has been stored before the mark is there.
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        format_args = ["format", "-t", cluster, "-c", str(self._properties)]
        told = subprocess.run(
            self._java("kafka.tools.StorageTool", format_args, heap="128m"), capture_output=True, text=True, check=False
        )
        if told.returncode:
            raise ServiceFailed(f"kafka: the storage could not be formatted: {told.stdout}{told.stderr}")
        (self.folder / "formatted").touch()

    def command(self) -> Command:
        return Command(self._java("kafka.Kafka", [str(self._properties)], heap="512m"), cwd=self.folder)

    def _java(self, main: str, args: list[str], heap: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return ["java", f"-Xmx{heap}", logging, "-cp", f"{libraries()}/*", main, *args]

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def is_ready(self) -> bool:
        # A client of its own for each look: one that was refused waits longer and longer before it tries again.
        admin = AdminClient({"bootstrap.servers": f"{HOST}:{self.port}", "log_level": 0}, logger=_Silence())
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def environment(self) -> dict[str, str]:
        return {"KAFKA_BROKERS": f"{HOST}:{self.port}"}


class _Silence:
    """A logger for librdkafka that drops "connection refused" while the broker starts."""

    def log(self, *args: object) -> None:
        """Say nothing."""


def libraries() -> Path:
    """The folder with the broker's jars; fetched once per pom. Raises MissingService when that fails."""
    folder = _library_folder()
    if folder.exists():
        return folder
    maven = require("kafka", "mvn", "maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        target = Path(fresh) / "libs"
        _fetch(maven, target)
        try:
            target.rename(folder)
        except OSError:
            # Another process was faster; its jars are as good.
            if not folder.exists():
                raise
    return folder


def _library_folder() -> Path:
    root = Path(os.environ.get("STREAMLOOM_NATIVE_DIR") or BASE_DIR / "var" / "native")
    return root / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


def _fetch(maven: str, target: Path) -> None:
    args = [maven, "-q", "-B", "-f", str(POM), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    told = subprocess.run(args, capture_output=True, text=True, check=False, timeout=_FETCH_S)
    if told.returncode or not any(target.glob("kafka_2.13-*.jar")):
        lines = [line for line in told.stdout.splitlines() if "ERROR" in line]
        raise MissingService(
            "kafka", f"the broker's jars could not be fetched from Maven Central ({' '.join(lines[:1]) or 'no answer'})"
        )


def _java_version() -> int:
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    words = (told.stderr + told.stdout).split('"')
    number = words[1].split(".")[0] if len(words) > 1 else "0"
    return int(number) if number.isdigit() else 0
