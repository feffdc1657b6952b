"""Devo is away for an hour of virtual time, at full input: real processes on clocks that run faster.

The collector and the embedded AWS run on the same fast clocks (see `inside`), so leases run out, cursors move
and back-offs pass as they would in an hour. Devo comes back only after the collector was killed as well, so
that what it knows is what it has stored.
"""

import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from tests.chaos.load import bulk
from tests.chaos.matrix import INSIDE
from tests.chaos.meter import Lines
from tests.chaos.targets import Patience
from tests.chaos.wire import Wire
from tests.fakes.certs import make_certs
from tests.fakes.collector import (
    ROOT,
    Collector,
    Launch,
    Site,
    Stage,
    Verdict,
    configuration,
    output,
    services,
    verdict,
)
from tests.fakes.corpus import Sample, expected
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import CLOCK, FakeAws
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import REGION, Ministack
from tests.fakes.process import wait_until
from tests.fakes.receivers import Receiver, running

HOUR = 3600.0
_LEASE_SECONDS = 1200
_QUEUE_MB = 6
_BACKLOG, _BACKLOG_ROWS, _ROWS = 192, 1_000, 100  # more in bytes and in messages than it may hold
_RECORDS_A_MINUTE = 6
_AFTER_KILL_MINUTES = 10
_WAIT_SECONDS = 120.0
_PATIENT = Patience(
    receipt=1800, sending=1800, connect=1800
)  # of fast seconds: some real ones on a busy machine
_MIB = 1 << 20


@dataclass(frozen=True)
class Warp:
    """A clock that runs `factor` times as fast as the machine's since it was made."""

    factor: float
    epoch: float = field(default_factory=time.time)
    origin: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Return the virtual time, epoch seconds."""
        return self.epoch + (time.time() - self.epoch) * self.factor

    def sleep(self, seconds: float) -> None:
        """Wait for so many virtual seconds."""
        time.sleep(seconds / self.factor)

    @property
    def environment(self) -> dict[str, str]:
        """Return what puts a Python process on this clock."""
        return {
            "PYTHONPATH": f"{INSIDE}:{ROOT}",
            "CHAOS_WARP": f"{self.factor}:{self.epoch}:{self.origin}",
        }


@dataclass
class Sampled:
    """What was seen in one virtual minute of the outage."""

    resident: int
    in_flight: int


@dataclass
class Report:
    """An outage's result. Figures of the hour: `attempts` to connect, lines of log, calls to AWS by name."""

    seconds: float
    samples: list[Sampled]
    attempts: int
    log_lines: int
    calls: Counter[str]
    cpu_seconds: float
    verdict: Verdict
    catch_up: float

    @property
    def growth(self) -> int:
        """Return how much more memory the second half of the outage took than the first, in bytes."""
        half = len(self.samples) // 2
        first, second = self.samples[:half], self.samples[half:]
        return max(one.resident for one in second) - max(one.resident for one in first)

    @property
    def leases(self) -> tuple[int, int]:
        """Return the smallest and the largest number of messages in flight during the second half."""
        held = [one.in_flight for one in self.samples[len(self.samples) // 2 :]]
        return min(held), max(held)

    def __str__(self) -> str:
        resident = self.samples[-1].resident / _MIB
        calls = ", ".join(f"{count} {name}" for name, count in sorted(self.calls.items()))
        return (
            f"outage of {self.seconds:.0f} virtual s: {self.attempts} attempts, {self.log_lines} log lines, "
            f"{self.cpu_seconds:.1f} CPU s; memory {resident:.0f} MiB, {self.growth / _MIB:+.1f} MiB in its "
            f"second half; {self.leases[0]} to {self.leases[1]} leases held; AWS: {calls}; {self.verdict}; "
            f"caught up in {self.catch_up:.0f} virtual s"
        )


@dataclass
class Scene:
    """The parts of an outage."""

    warp: Warp
    aws: Ministack
    site: Site
    receiver: Receiver
    wire: Wire
    proxy: FaultProxy
    collector: Collector
    objects: list[Sample] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)

    def feed(self, objects: int = 1, rows: int = _ROWS) -> None:
        """Put flow logs and CloudTrail events, now."""
        fresh = [bulk(len(self.objects) + number, rows) for number in range(objects)]
        self.site.put(fresh)
        self.objects += fresh
        for _ in range(_RECORDS_A_MINUTE):
            self.records.append(put_record(len(self.records)))

    def due(self) -> Counter[tuple[str, bytes]]:
        """Return what must arrive."""
        trail = Counter(("cloud.aws.cloudtrail.events", record) for record in self.records)
        return expected(self.objects, auto=True) + trail

    def sample(self) -> Sampled:
        """Look at the collector's memory and its leases."""
        status = Path(f"/proc/{self.collector.children[0].pid}/status").read_text()
        resident = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) << 10
        return Sampled(resident, self.aws.depth(self.site.queues["flowlogs"]).in_flight)

    def cpu_seconds(self) -> float:
        """Return the CPU time that the collector has used."""
        parts = Path(f"/proc/{self.collector.children[0].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def log_lines(self) -> int:
        """Return how many lines the collector has logged."""
        return sum(log.read_bytes().count(b"\n") for log in self.collector.folder.glob("log-*"))


def put_record(number: int) -> bytes:
    """Let CloudTrail have an event of this moment; return the record that must arrive."""
    record = f'{{"eventVersion":"1.11","eventSource":"outage.amazonaws.com","requestID":"{number}"}}'
    fake_aws.put_cloudtrail_events([{"EventName": "Outage", "CloudTrailEvent": record}])
    return record.encode()


@contextmanager
def fast_aws(warp: Warp) -> Iterator[Ministack]:
    """Start an embedded AWS whose leases run on the fast clock."""
    changed = {**warp.environment, "CHAOS_WARP_PARTS": "time"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        aws = Ministack().__enter__()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    try:
        yield aws
    finally:
        aws.__exit__()


@contextmanager
def scene(folder: Path, factor: float) -> Iterator[Scene]:
    """Set everything up on one fast clock; the collector is not yet started."""
    warp, certs = Warp(factor), make_certs(folder / "certs")
    fake_aws.reset()
    CLOCK.now = warp.now  # type: ignore[method-assign]
    try:
        with fast_aws(warp) as aws, FaultProxy(aws.url) as proxy, FakeAws() as trail:
            stage = Stage(aws, lambda name: name, certs, folder)
            site = stage.site(visibility=_LEASE_SECONDS)
            for receiver in running("rsyslog", folder / "receiver", certs):
                with Wire(receiver.port) as wire:
                    collector = collector_of(stage, site, wire, proxy)
                    collector.environment |= {**warp.environment, "AWS_ENDPOINT_URL_CLOUDTRAIL": trail.url}
                    try:
                        yield Scene(warp, aws, site, receiver, wire, proxy, collector)
                    finally:
                        collector.kill()
    finally:
        del CLOCK.now
        fake_aws.reset()


def collector_of(stage: Stage, site: Site, wire: Wire, proxy: FaultProxy) -> Collector:
    """Return a collector of flow logs (leases) and CloudTrail's API (a cursor)."""
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    lookup = {"types": ["audits_api"], "regions": [REGION], "start_time": start, "auto_event_type": True}
    chosen = services([site], auto=True, only=["flowlogs"], visibility_timeout_seconds=_LEASE_SECONDS)
    chosen["audit-events-all"] = {**lookup, "request_period_in_seconds": 60}
    outputs = output(wire.port, stage.certs)
    outputs["devo"]["config"] |= _PATIENT.keys
    settings = configuration(chosen, outputs, stage.folder, queue_max_size_in_mb=_QUEUE_MB)
    return Collector(SimpleNamespace(url=proxy.url), stage.folder / "collector", settings, Launch("flows"))


def suffer(play: Scene, minutes: int) -> list[Sampled]:
    """Let so many virtual minutes pass at full input, with a look at each."""
    samples = []
    for minute in range(minutes):
        began = play.warp.now()
        play.feed()
        samples.append(play.sample())
        play.warp.sleep(max(0.0, began + 60 - play.warp.now()))
        assert play.collector.alive, f"minute {minute}:\n{play.collector.tail()}"
    return samples


def outage(folder: Path, factor: float, seconds: float = HOUR) -> Report:
    """Take Devo away for so long, kill the collector as well, bring both back, and count."""
    with scene(folder, factor) as play:
        play.collector.start()
        play.feed()
        play.receiver.wait_for(_ROWS + 1, 60)
        play.receiver.kill()
        play.feed(_BACKLOG, _BACKLOG_ROWS)
        play.warp.sleep(120)
        attempts, lines, calls, cpu = (
            play.wire.accepted,
            play.log_lines(),
            len(play.proxy.log),
            play.cpu_seconds(),
        )
        samples = suffer(play, int(seconds / 60))
        told = {
            "attempts": play.wire.accepted - attempts,
            "log_lines": play.log_lines() - lines,
            "calls": Counter(call.op for call in play.proxy.log[calls:]),
            "cpu_seconds": play.cpu_seconds() - cpu,
        }
        told["calls"].update({"cloudtrail.LookupEvents": len(fake_aws.served("cloudtrail.LookupEvents"))})
        play.collector.kill()
        play.collector.start()
        suffer(play, _AFTER_KILL_MINUTES)
        play.receiver.start()
        arrived = Lines(play.receiver.folder / "out")
        back, due, queue = play.warp.now(), play.due(), play.site.queues["flowlogs"]
        wait_until(
            lambda: arrived() >= due.total() or not play.collector.alive,
            _WAIT_SECONDS,
            "all of it",
        )
        wait_until(lambda: not sum(play.aws.depth(queue)), _WAIT_SECONDS, "an empty queue")
        caught_up = play.warp.now() - back
        play.collector.drain()
        return Report(
            seconds, samples, **told, verdict=verdict(due, play.receiver.events()), catch_up=caught_up
        )


def main() -> int:
    """Play the hour at sixty times its speed."""
    with tempfile.TemporaryDirectory(prefix="outage-") as folder:
        report = outage(Path(folder), 60)
    sys.stdout.write(f"{report}\n")
    return 0 if report.verdict.lost == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
