"""The collector itself as child processes: a site of buckets and queues, a configuration, start and end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.certs import Certs
from tests.fakes.corpus import Sample
from tests.fakes.ministack import REGION, Ministack, Queue
from tests.fakes.planted import in_configuration, leaks
from tests.fakes.process import HOST, Child, free_port, wait_until
from tests.fakes.receivers import Receiver
from tests.fakes.strict import STRICT

ROOT = Path(__file__).parents[2]
SERVICES = {
    "audits_s3": ("audit-events-all", "audit_sqs_queue_name"),
    "flowlogs": ("non-cloudwatch-logs", "vpcflowlogs_sqs_queue_name"),
    "cloudfrontlogs": ("non-cloudwatch-logs", "cloudfrontlogs_sqs_queue_name"),
    "cisco-umbrella": ("cisco-umbrella", "cisco_umbrella_sqs_queue_name"),
}
"""Per type: its key under `services`, and the key that names its queue."""

_DRAIN_SECONDS = 40.0
_SECRET = "Planted/secret+of=every-test"
_NUMBERS = count(1)
_STARTED: list[tuple[Path, Mapping[str, str]]] = []
"""Logs of collectors that were started, each with the secrets that the collector knows."""


class Site:
    """A bucket and a queue per type in an embedded AWS, announced in all the ways that AWS has.

    visibility: seconds of the queues'; short, so that what a killed collector held comes back soon.
    """

    def __init__(
        self, aws: Ministack, unique: Callable[[str], str], *, visibility: int = 30, region: str = REGION
    ) -> None:
        self.aws, self.region = aws, region
        names = {service: unique(f"e2e-{service.replace('_', '-')}") for service in SERVICES}
        self.queues: dict[str, Queue] = {
            service: aws.queue(name, visibility=visibility, region=region) for service, name in names.items()
        }
        self.buckets = {service: aws.bucket(f"{name}-{region}", region) for service, name in names.items()}
        ways = (
            aws.announce_by_sns,
            aws.announce_by_sqs,
            aws.announce_by_eventbridge,
            lambda bucket, queue: aws.announce_by_sns(bucket, queue, raw=True),
        )
        for service, announce in zip(SERVICES, ways, strict=True):
            announce(self.buckets[service], self.queues[service])

    def put(self, samples: Iterable[Sample], threads: int = 4) -> None:
        """Put objects into the buckets of their types."""

        def one(sample: Sample) -> None:
            self.aws.put(self.buckets[sample.service], sample.key, sample.body, self.region)

        self.aws.client("s3", self.region)  # made before threads share it
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, samples))

    def waiting(self) -> int:
        """Return how many messages all queues hold, visible or in flight."""
        return sum(sum(self.aws.depth(queue)) for queue in self.queues.values())


def services(
    sites: Sequence[Site], *, auto: bool, only: Iterable[str] = SERVICES, **common: Any
) -> dict[str, Any]:
    """Return the `services` of an input: queues of the same name in the region of each site.

    auto: `auto_event_type`. only: types. common: further keys of each service.
    """
    made: dict[str, Any] = {}
    for kind in only:
        setting, key = SERVICES[kind]
        service = made.setdefault(setting, {"regions": [site.region for site in sites], **common})
        service[key] = sites[0].queues[kind].name
        if setting != "cisco-umbrella":
            service["auto_event_type"] = auto
            service.setdefault("types", []).append(kind)
    return made


def output(port: int, certs: Certs | None) -> dict[str, Any]:
    """Return the output section: Devo over mutual TLS, or a plain relay."""
    if certs is None:
        return {"relay": {"type": "syslog", "config": {"address": HOST, "port": port}}}
    files = {"chain": str(certs.ca), "cert": str(certs.client_cert), "key": str(certs.client_key)}
    return {
        "devo": {"type": "devo_platform", "config": {"address": HOST, "port": port, "type": "SSL", **files}}
    }


def _key() -> str:
    """Return an access key; in a strict AWS each configuration has its own, with a policy of its own."""
    return f"test-{next(_NUMBERS)}" if STRICT else "test"


def configuration(
    services: Mapping[str, Any], outputs: Mapping[str, Any], folder: Path, **more: Any
) -> dict[str, Any]:
    """Return a configuration in Devo's shape; `more` goes into `globals`."""
    return {
        "globals": {
            "name": "test",
            "persistence": {"type": "filesystem", "config": {"directory_name": str(folder / "state")}},
            **more,
        },
        "outputs": dict(outputs),
        "inputs": {
            "aws": {
                "id": "10001",
                "enabled": True,
                "credentials": {"access_key": _key(), "access_secret": _SECRET},
                "services": dict(services),
            }
        },
    }


@dataclass(frozen=True, slots=True)
class Stage:
    """What a test plays on: an embedded AWS, names of its own, certificates and a folder."""

    aws: Ministack
    unique: Callable[[str], str]
    certs: Certs
    folder: Path

    def site(self, **options: Any) -> Site:
        """Make buckets and queues."""
        return Site(self.aws, self.unique, **options)

    def collector(self, configuration: Mapping[str, Any], launch: "Launch | None" = None) -> "Collector":
        """Make a collector, not yet started."""
        return Collector(self.aws, self.folder / "collector", configuration, launch)


_SIZES = {"flows": "--cluster", "replicas": "--processes"}


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start.

    by: `bytewax` (`python -m bytewax.run`, with -i and -a), `flows` (`flows run`, a cluster where there are
    several) or `replicas` (`flows run`, independent processes).
    """

    by: str = "bytewax"
    processes: int = 1
    workers: int = 1
    interval: int = 1

    def __str__(self) -> str:
        return f"{self.by}-p{self.processes}-w{self.workers}"


class Collector:
    """A collector (one or several processes) with a folder for configuration, state and log.

    environment: further variables of the next start.
    """

    def __init__(
        self, aws: Ministack, folder: Path, configuration: Mapping[str, Any], launch: Launch | None = None
    ) -> None:
        self.aws, self.folder, self.launch = aws, folder, launch or Launch()
        self.children: list[Child] = []
        self.starts = 0
        self.environment: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(configuration)

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """Write the configuration that the next start reads."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
        self.secrets = in_configuration(configuration)
        if isinstance(self.aws, Ministack):  # others are only an address
            self.aws.admit(self.folder / "config.yaml")

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def alive(self) -> bool:
        return bool(self.children) and all(child.alive for child in self.children)

    def start(self, launch: Launch | None = None) -> "Collector":
        """Start all processes; they run on with the state of the last life."""
        self.launch = launch or self.launch
        self.starts += 1
        if self.launch.by == "bytewax":
            make_state(self.state)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BYTEWAX_"))
        }
        shared = (
            self.folder / "tmp"
        )  # so that limits shared by a machine's processes are this collector's alone
        shared.mkdir(exist_ok=True)
        environment |= {
            "TMPDIR": str(shared),
            "AWS_ENDPOINT_URL": self.aws.url,
            "COLLECTOR_CONFIG": str(self.folder / "config.yaml"),
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",
            **self.environment,
        }
        self.children = [
            Child(command, self.folder / f"log-{self.starts}-{number}", environment, self.folder)
            for number, command in enumerate(self._commands())
        ]
        _STARTED.extend((child.log, self.secrets) for child in self.children)
        return self

    def kill(self) -> None:
        """SIGKILL all processes at once."""
        for child in self.children:
            child.signal(signal.SIGKILL)
        for child in self.children:
            child.kill()

    def drain(self, timeout: float = _DRAIN_SECONDS) -> float:
        """SIGTERM once it can be heard; every process must end with 0. Returns the seconds that it took."""
        for child in self.children:
            wait_until(lambda one=child: one.catches(signal.SIGTERM) or not one.alive, timeout, "a handler")
        began = time.monotonic()
        for child in self.children:
            assert child.alive, f"ended before it was asked to:\n{child.tail()}"
            child.signal(signal.SIGTERM)
        codes = [child.wait(timeout) for child in self.children]
        assert codes == [0] * len(codes), f"exit codes {codes}:\n{self.tail()}"
        return time.monotonic() - began

    def peak_bytes(self) -> int:
        """Return the largest resident size that any of the running processes has had."""
        status = [Path(f"/proc/{child.pid}/status").read_text() for child in self.children]
        return max(int(re.findall(r"VmHWM:\s+(\d+) kB", text)[0]) << 10 for text in status)

    def tail(self, size: int = 6000) -> str:
        """Return the end of all logs of this life."""
        return "\n".join(f"== {child.log.name}\n{child.tail(size)}" for child in self.children)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of a named event of this life, each time it was logged (COLLECTOR_LOG=json)."""
        texts = (line for child in self.children for line in child.log.read_bytes().splitlines())
        found = (json.loads(text) for text in texts if b'"event":"%s"' % event.encode() in text)
        return [fields for fields in found if fields["event"] == event]

    def _commands(self) -> list[list[str]]:
        launch = self.launch
        if launch.by in _SIZES:
            options = ["--interval", str(launch.interval), "--state", str(self.state)]
            size = [_SIZES[launch.by], str(launch.processes), "--workers", str(launch.workers)]
            return [[sys.executable, "-m", "flows", "run", *options, *size]]
        recovery = ["-r", str(self.state), "-s", str(launch.interval), "-b", "0"]
        base = [sys.executable, "-m", "bytewax.run", "flows.aws", *recovery, "-w", str(launch.workers)]
        if launch.processes == 1:
            return [base]
        addresses = ";".join(f"{HOST}:{free_port()}" for _ in range(launch.processes))
        return [[*base, "-i", str(number), "-a", addresses] for number in range(launch.processes)]


def leaking_logs() -> dict[str, list[str]]:
    """Return log → names of secrets in it, of the collectors that were started since it was last asked."""
    started, _STARTED[:] = list(_STARTED), []
    found = {str(log): leaks(log.read_bytes(), secrets) for log, secrets in started if log.exists()}
    return {log: names for log, names in found.items() if names}


def make_state(folder: Path) -> None:
    """Make a recovery directory as `python -m bytewax.recovery` does."""
    if not folder.exists():
        folder.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "bytewax.recovery", str(folder), "3"], check=True)


def settle(
    collector: Collector, receiver: Receiver, sites: Sequence[Site], total: int, timeout: float
) -> None:
    """Wait until `total` lines have arrived and every queue is empty; the collector must stay alive.

    timeout: seconds without any progress.
    """
    waiting = total

    def done() -> bool:
        nonlocal waiting
        waiting = sum(site.waiting() for site in sites)
        return receiver.size() >= total and not waiting

    def state() -> str:
        return f"{receiver.size()} of {total} lines have arrived, {waiting} messages wait"

    wait_while_moving(collector, done, state, timeout)


def wait_while_moving(
    collector: Collector, done: Callable[[], bool], state: Callable[[], str], stall: float
) -> None:
    """Wait until done, however long it takes a busy machine; fail when nothing moves for `stall` seconds.

    state: says how far it has come. The collector must stay alive.
    """
    before, since = "", time.monotonic()
    while not done():
        assert collector.alive, f"the collector ended:\n{collector.tail()}"
        if (now := state()) != before:
            before, since = now, time.monotonic()
        assert time.monotonic() - since < stall, f"for {stall:g} s {now}:\n{collector.tail()}"
        time.sleep(0.1)


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one `services` section of several: types of the same service are put together."""
    made: dict[str, Any] = {}
    for part in parts:
        for name, service in part.items():
            known = made.setdefault(name, {})
            known.update({**service, "types": [*known.get("types", ()), *service.get("types", ())]})
    return {
        name: {key: value for key, value in service.items() if value != []} for name, service in made.items()
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the events that were sent. torn: lines that are no event of ours."""

    sent: int
    received: int
    lost: int
    repeated: int
    torn: int

    @property
    def exactly_once(self) -> bool:
        return (self.lost, self.repeated, self.torn) == (0, 0, 0)


def verdict(expected: Counter[tuple[str, bytes]], arrived: Counter[tuple[str, bytes]]) -> Verdict:
    """Compare what was sent with what has arrived, tag and bytes."""
    known = Counter({event: count for event, count in arrived.items() if event in expected})
    return Verdict(
        sent=expected.total(),
        received=known.total(),
        lost=(expected - known).total(),
        repeated=(known - expected).total(),
        torn=(arrived - known).total(),
    )


def first_difference(expected: Counter[tuple[str, bytes]], arrived: Counter[tuple[str, bytes]]) -> str:
    """Return one missing and one unexpected event, for a failing test's message."""
    missing, strange = next(iter(expected - arrived), None), next(iter(arrived - expected), None)
    return f"missing: {_short(missing)}\nunexpected: {_short(strange)}"


def _short(event: tuple[str, bytes] | None) -> str:
    return "-" if event is None else f"{event[0]}: {event[1][:400]!r}"
