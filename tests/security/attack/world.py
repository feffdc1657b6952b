"""What attacks are played against: a collector in a gibibyte, a real receiver, honest traffic throughout."""

import gzip
import hashlib
import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.fakes.collector import Collector, Launch, Site, services
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import Ministack, Queue
from tests.fakes.process import HOST, Background, free_port, wait_until
from tests.fakes.receivers import Receiver, need
from tests.fakes.receivers import configuration as receiver_configuration
from tests.security.attack.limit import Limit, forget, limited, peak

NAME = "attacked"
CUT = 8096
"""Bytes of a line after which the receiver cuts, as rsyslog does by default."""

_ID = re.compile(rb"H(\d{8})H")
_STOLEN = b"STOLEN"
_BEGIN = b"\n<14>Jan  1 00:00:00 attacked "
_TICK_SECONDS = 0.5
_GIVEN_UP_SECONDS = 120.0


class Attacked(Collector):
    """A collector under a limit of memory, started again when it dies, as a unit would."""

    def __init__(self, limit: Limit, *given: Any) -> None:
        self.limit, self.deaths = limit, 0
        super().__init__(*given, Launch("flows"))

    def _commands(self) -> list[list[str]]:
        return [limited(one, self.limit) for one in super()._commands()]

    @property
    def pid(self) -> int:
        return self.children[0].pid


@dataclass
class Row:
    """What an attack has done. peak: bytes. late: seconds of the honest events, put to arrived."""

    name: str
    peak: int = 0
    disk: int = 0
    events: int = 0
    late: list[float] = field(default_factory=list)
    lost: int = 0
    forged: int = 0
    crashes: int = 0
    refused: int = 0
    told: str = ""

    @property
    def p99(self) -> float:
        """Return how late honest events were at the 99th percentile; those lost are not among them."""
        ordered = sorted(self.late)
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0

    @property
    def good(self) -> bool:
        """Tell whether it cost nobody else anything."""
        return not (self.lost or self.forged or self.crashes or self.refused) and self.p99 <= 10.0


class Honest(Background):
    """Puts events at an even rate: CloudTrail, flow logs, EventBridge's events by themselves."""

    numbers = count(1)

    def __init__(self, world: "World") -> None:
        self._world = world
        self.put: dict[int, float] = {}
        super().__init__()

    def _run(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            self.once()

    def once(self) -> None:
        """Put one object of each kind, and one message."""
        world, ids = self._world, [next(self.numbers) for _ in range(12)]
        began = time.monotonic()
        trail = [
            {"eventSource": "s3.amazonaws.com", "eventName": "GetObject", "id": _id(one)} for one in ids[:5]
        ]
        lines = [
            f"2 123456789012 {_id(one)} 10.0.0.1 10.0.0.2 1 2 6 1 1 1 1 ACCEPT OK\n" for one in ids[5:11]
        ]
        bodies = {
            "audits_s3": gzip.compress(json.dumps({"Records": trail}).encode(), 1),
            "flowlogs": gzip.compress("".join(lines).encode(), 1),
        }
        for kind, body in bodies.items():
            world.put(kind, f"AWSLogs/honest/{ids[0]}.gz", body)
        world.send("events", event(id=_id(ids[11])))
        self.put.update(dict.fromkeys(ids, began))

    def premature(self, wait: float) -> None:
        """Announce an object with its right etag before it is there; then put it, announced as ever."""
        number = next(self.numbers)
        body = json.dumps({"Records": [{"eventSource": "ec2.amazonaws.com", "id": _id(number)}]}).encode()
        key, etag = f"AWSLogs/premature/{number}.json", hashlib.md5(body).hexdigest()  # noqa: S324 - S3's etag
        bucket = self._world.site.buckets["audits_s3"]
        self._world.send("audits_s3", notice(bucket, key, size=len(body), etag=etag))
        time.sleep(wait)
        self.put[number] = time.monotonic()
        self._world.put("audits_s3", key, body)


def _id(number: int) -> str:
    return f"H{number:08d}H"


def event(**detail: Any) -> str:
    """Return an event as EventBridge sends it."""
    about = {
        "version": "0",
        "id": "1",
        "detail-type": "State Change",
        "source": "aws.ec2",
        "region": "us-east-1",
    }
    return json.dumps({**about, "account": "123456789012", "time": "2026-01-02T03:04:05Z", "detail": detail})


def record(bucket: Any, key: Any, region: Any = "us-east-1", **about: Any) -> dict[str, Any]:
    """Return a record of S3's notice."""
    thing = {"bucket": {"name": bucket}, "object": {"key": key, **about}}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventName": "ObjectCreated:Put",
        "s3": thing,
    }


def notice(bucket: Any, key: Any, region: Any = "us-east-1", **about: Any) -> str:
    """Return S3's notice of one object."""
    return json.dumps({"Records": [record(bucket, key, region, **about)]})


class Watch(Background):
    """Looks at all that an attack may touch, ten times a second: lines, memory, disk, probes, deaths."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._tail = world.tail
        self.arrived: dict[int, float] = {}
        self.forged = self.refused = self.deaths = self.peak = self.disk = 0
        self.examples: list[bytes] = []
        super().__init__()

    def _run(self) -> None:
        for number in count():
            if self._ended.wait(0.1):
                return
            self.look(number)

    def look(self, number: int) -> None:
        """Take one sample."""
        world, now = self._world, time.monotonic()
        for lines in self._tail.grown():
            for found in _ID.findall(lines):
                self.arrived.setdefault(int(found), now)
            # Counted, not taken apart: an object of kilobytes may hold millions of lines.
            if b"\n".join((b"", lines)).count(_BEGIN) != lines.count(b"\n") or _STOLEN in lines:
                self._are_forged(lines)
        collector = world.collector
        self.peak = max(self.peak, peak(collector.pid))
        if world.limit.exceeded(collector.pid):
            collector.kill()
        if not collector.alive:
            self.deaths += 1
            self.examples.append(collector.tail(500).encode())
            collector.start()
        if number % 10 == 0:
            self.disk = max(self.disk, _size(collector.folder))
        if number % 5 == 0:
            self.refused += not world.probe()

    def _are_forged(self, lines: bytes) -> None:
        strange = [one for one in lines.splitlines() if not one.startswith(_BEGIN[1:]) or _STOLEN in one]
        self.forged += len(strange)
        self.examples += [one[:300] for one in strange[: 3 - len(self.examples)]]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_blocks * 512
    return total


class World:
    """The parts of an attack."""

    def __init__(self, folder: Path, aws: Ministack, proxy: FaultProxy) -> None:
        self.folder, self.aws, self.proxy = folder, aws, proxy
        self.limit = Limit()
        self.site = Site(aws, lambda name: name)
        self.queues: dict[str, Queue] = {**self.site.queues, "events": aws.queue("e2e-events")}
        self.buckets = dict(self.site.buckets)
        for kind in ("parquet", "json"):
            self.queues[kind] = aws.queue(f"e2e-{kind}")
            self.buckets[kind] = aws.bucket(f"e2e-{kind}-us-east-1")
            aws.announce_by_sqs(self.buckets[kind], self.queues[kind])
        aws.put(aws.bucket("finance-secrets"), "salaries.csv", b"STOLEN,1\n")
        self.receiver = _receiver(folder)
        self.status = free_port()
        self.collector = self._collector()
        self.tail = self.receiver.tail()

    def _collector(self) -> Attacked:
        of = {kind: {"buckets": [bucket]} for kind, bucket in self.buckets.items()}
        custom = {"routing_template": "my.app.custom", "regions": ["us-east-1"]}
        made = services([self.site], auto=True, only=["audits_s3", "flowlogs", "cisco-umbrella"])
        made["audit-events-all"] |= of["audits_s3"]
        made["non-cloudwatch-logs"] |= of["flowlogs"]
        made["cisco-umbrella"] |= of["cisco-umbrella"]
        made["service-events-all"] = {"regions": ["us-east-1"], "cloudwatch_sqs_queue_name": "e2e-events"}
        formats = {
            "parquet": {"type": "parquet"},
            "json": {"type": "unseparated_json_processor", "config": {"key": "logs"}},
        }
        for kind, form in formats.items():
            about = {"sqs_queue_name": f"e2e-{kind}", "file_format": form, **custom, **of[kind]}
            made[f"custom-{kind}"] = about
        relay = {"address": HOST, "port": self.receiver.port, "host": NAME, "receiver_max_event_bytes": CUT}
        settings = {
            "globals": {
                "persistence": {"config": {"directory_name": str(self.folder / "collector/state")}},
                "quarantine_max_bytes": 64 << 20,
                "spool_max_bytes": 1 << 30,
            },
            "outputs": {"relay": {"type": "syslog", "config": relay}},
            "inputs": {
                "aws": {
                    "id": "1",
                    "credentials": {"access_key": "test", "access_secret": "test"},
                    "services": made,
                }
            },
        }
        found = Attacked(self.limit, SimpleNamespace(url=self.proxy.url), self.folder / "collector", settings)
        found.environment |= {
            "COLLECTOR_LOG": "json",
            "COLLECTOR_STATUS": f"{HOST}:{self.status}",
            "SSLKEYLOGFILE": str(self.folder / "keys"),
        }
        return found

    def put(self, kind: str, key: str, body: bytes) -> None:
        """Put an object into a service's bucket, which announces it."""
        self.aws.put(self.buckets[kind], key, body)

    def send(self, kind: str, body: str, **more: Any) -> None:
        """Put a message into a service's queue; one that SQS does not take is none."""
        self.aws.send(self.queues[kind], body, **more)

    def probe(self, host: str = HOST, path: str = "/healthz") -> bool:
        """Tell whether the status port answers a probe within two seconds."""
        connection = http.client.HTTPConnection(HOST, self.status, timeout=2)
        try:
            connection.request("GET", path, headers={"Host": host})
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def messages(self, kinds: Any = None) -> int:
        """Return how many messages wait."""
        return sum(sum(self.aws.depth(self.queues[kind])) for kind in kinds or self.queues)

    def purge(self) -> None:
        """Empty all queues between two attacks: what stays in them is the last one's."""
        for queue in self.queues.values():
            self.aws.client("sqs").purge_queue(QueueUrl=queue.url)

    def log_lines(self) -> Iterator[bytes]:
        """Yield the collector's log."""
        for path in sorted(self.collector.folder.glob("log-*")):
            yield from path.read_bytes().splitlines()


def _receiver(folder: Path) -> Receiver:
    """Return a receiver that cuts where rsyslog cuts by default."""
    receiver = Receiver(need("rsyslog"), folder / "receiver", None)
    text = receiver_configuration("rsyslog", receiver.folder, None, receiver.port)
    text = text.replace('maxMessageSize="2m" oversizemsg.input.mode="accept"', "")
    (receiver.folder / "rsyslog.conf").write_text(text)
    return receiver


@contextmanager
def attacked(folder: Path) -> Iterator[World]:
    """Set up a world whose collector runs and has delivered an honest event."""
    with Ministack() as aws, FaultProxy(aws.url) as proxy:
        world = World(folder, aws, proxy)
        try:
            world.receiver.start()
            world.collector.start()
            wait_until(world.probe, 60, "the status port answers")
            yield world
        finally:
            world.collector.kill()
            world.receiver.kill()
            world.limit.remove()


def play(world: World, name: str, attack: Any, hold: float) -> Row:
    """Play an attack while honest events flow, and for `hold` seconds longer; return what it did."""
    forget(world.collector.pid)
    log = sum(1 for _ in world.log_lines())
    with Watch(world) as watch:
        with Honest(world) as honest:
            time.sleep(hold / 4)
            try:
                told = attack(world, honest) or ""
            except AssertionError as error:
                watch.deaths, told = watch.deaths + 1, str(error)
            time.sleep(hold)
        give_up = time.monotonic() + _GIVEN_UP_SECONDS
        while honest.put.keys() - watch.arrived.keys() and time.monotonic() < give_up:
            time.sleep(0.1)
        time.sleep(0.3)
    world.proxy.clear()
    late = [watch.arrived[one] - began for one, began in honest.put.items() if one in watch.arrived]
    spoilt = sum(not _is_ours(line) for number, line in enumerate(world.log_lines()) if number >= log)
    world.purge()
    lost = len(honest.put) - len(late)
    said = [str(told), *(example.decode(errors="replace") for example in watch.examples)]
    row = Row(
        name,
        watch.peak,
        watch.disk,
        len(honest.put),
        late,
        lost,
        watch.forged + spoilt,
        watch.deaths,
        watch.refused,
    )
    row.told = " | ".join(filter(None, said))
    return row


def _is_ours(line: bytes) -> bool:
    """Tell whether a line of the log is one that the collector made of itself."""
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("event", "forged") != "forged"


__all__ = ["CUT", "Honest", "Row", "World", "attacked", "event", "notice", "play", "record"]
