"""`python -m tests.chaos.soak`: fifty thousand events a second, a fault every ten seconds, for an hour.

SOAK_MINUTES (60) and SOAK_RATE (50000 events a second) may be set. The collector is one process from start
to end, so that the slope of its memory means something: it is not killed here, which `tests.chaos` does.
"""

import os
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count, cycle
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Self

from sources.queues.object_progress import ObjectProgress
from tests.chaos.load import flow_log
from tests.chaos.matrix import INSIDE
from tests.chaos.slope import Slope, calmed, slope, typical
from tests.chaos.tally import Tally
from tests.chaos.targets import NAME, Patience
from tests.chaos.wire import Wire
from tests.fakes.certs import make_certs
from tests.fakes.collector import ROOT, Collector, Launch, Site, Stage, configuration, output, services
from tests.fakes.faultproxy import FaultProxy, Rule
from tests.fakes.ministack import Ministack
from tests.fakes.process import wait_until
from tests.fakes.tls_sink import TlsSink

ROWS = 10_000
_FAULT_SECONDS = 10.0
_KEPT_SECONDS = 180.0
_END_SECONDS, _QUIET_SECONDS = 600.0, 60.0
_WARM_UP = 0.25
_LARGEST_WARM_UP = 300.0
_OUTAGE = 0.2
"""Of the warm-up."""
_GROWTH_BYTES = 16 << 20
_ENOUGH = 0.99
_MIB = 1 << 20
_PATIENCE = Patience(receipt=10, sending=10, connect=10)
"""Timeouts of ten seconds: with thirty, one fault would not be over when the third comes."""


@dataclass
class Play:
    """The parts of a soak."""

    site: Site
    sink: TlsSink
    tally: Tally
    wire: Wire
    proxy: FaultProxy
    collector: Collector
    no_name: Path
    rng: Random = field(default_factory=lambda: Random(1))


class Putter:
    """Puts objects of `ROWS` events at an even rate, and takes delivered ones away again later.

    objects: how many were put so far. late: the longest time that one was put too late, in seconds.
    """

    def __init__(self, site: Site, tally: Tally, rate: float) -> None:
        self._site, self._tally, self._every = site, tally, ROWS / rate
        self._bucket = site.buckets["flowlogs"]
        self._s3 = site.aws.client("s3", site.region)
        self._put: deque[tuple[float, int, str]] = deque()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.objects, self.late, self.seconds = 0, 0.0, 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def rate(self) -> float:
        """Return how many events a second were put, over all the time so far."""
        return self.objects * ROWS / self.seconds if self.seconds else 0.0

    def _run(self) -> None:
        began = time.monotonic()
        for number in count():
            due = began + number * self._every
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            key, body = flow_log(number, ROWS)
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
            now = time.monotonic()
            self.objects, self.late, self.seconds = number + 1, max(self.late, now - due), now - began
            self._put.append((now, number, key))
            self._take_away(now)

    def _take_away(self, now: float) -> None:
        while self._put and now - self._put[0][0] > _KEPT_SECONDS and self._put[0][1] in self._tally.whole:
            self._s3.delete_object(Bucket=self._bucket, Key=self._put.popleft()[2])


def resets(play: Play) -> None:
    """Reset both sides at a random byte."""
    play.wire.reset_after(play.rng.randrange(1_000_000))


def stalls(play: Play) -> None:
    """Let nothing pass for four seconds."""
    play.wire.stall()
    time.sleep(4)
    play.wire.flow()


def deaf(play: Play) -> None:
    """Leave connections half-open, nothing acknowledged."""
    play.wire.deafen()


def swallowed(play: Play) -> None:
    """Leave connections half-open, everything acknowledged."""
    play.wire.swallow()


def closes(play: Play) -> None:
    """Close the next connection as soon as it is accepted."""
    play.wire.close_at_accept()


def slow(play: Play) -> None:
    """Let the receiver read 1 MB/s for five seconds: a sixth of what comes."""
    play.wire.pace(1_000_000)
    time.sleep(5)
    play.wire.pace(0)


def nameless(play: Play) -> None:
    """Let the receiver's name be unknown for three seconds."""
    play.no_name.touch()
    time.sleep(3)
    play.no_name.unlink()


def outage(seconds: float) -> Callable[[Play], None]:
    """Return the fault: the receiver is away for so long, its connections reset."""

    def away(play: Play) -> None:
        play.sink.stop_listening()
        play.sink.drop()
        time.sleep(seconds)
        play.sink.listen_again()

    return away


def aws(*rules: Rule) -> Callable[[Play], None]:
    """Return the fault: one call in ten to AWS fails so for five seconds."""

    def plant(play: Play) -> None:
        for rule in rules:
            play.proxy.add(rule.do, code=rule.code, status=rule.status, probability=0.1 / len(rules))
        time.sleep(5)
        play.proxy.clear()

    plant.__name__ = f"aws-{rules[0].do}{rules[0].status or ''}"
    return plant


FAULTS: Sequence[Callable[[Play], None]] = (
    resets,
    stalls,
    aws(Rule("error")),
    deaf,
    closes,
    aws(Rule("error", status=503, code="ServiceUnavailable")),
    outage(2),
    slow,
    aws(Rule("reset"), Rule("lost")),
    swallowed,
    nameless,
    aws(Rule("truncate"), Rule("short")),
)


@dataclass
class Watch:
    """Samples of the collector's process, one a second: (seconds, resident bytes), (seconds, descriptors)."""

    resident: list[tuple[float, float]] = field(default_factory=list)
    descriptors: list[tuple[float, float]] = field(default_factory=list)

    def look(self, pid: int, at: float) -> None:
        """Take one sample."""
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        self.resident.append((at, float(pages * os.sysconf("SC_PAGE_SIZE"))))
        self.descriptors.append((at, float(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))))


@dataclass
class Report:
    """A soak's result."""

    seconds: float
    sent: int
    asked: float
    rate: float
    late: float
    tally: Tally
    lost: int
    faults: int
    watch: Watch
    weaker: int

    @property
    def warm(self) -> float:
        """Return the second from which on growth counts."""
        return warm_up(self.seconds)

    def after_warm_up(self, samples: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Return what counts of the samples."""
        return [sample for sample in samples if sample[0] >= self.warm]

    @property
    def memory(self) -> Slope:
        """Return the slope of the resident size, bytes a second, from medians over one fault each."""
        return slope(calmed(self.after_warm_up(self.watch.resident), _FAULT_SECONDS))

    @property
    def usual(self) -> Slope:
        """Return the same slope as the median over all pairs: one step does not make it, a leak does."""
        return typical(calmed(self.after_warm_up(self.watch.resident), _FAULT_SECONDS))

    @property
    def known(self) -> float:
        """Return what the table of recognised objects adds, bytes a second; at its bound it adds no more."""
        counted = self.seconds - self.warm
        objects = self.sent / ROWS
        return table_bytes(int(objects * self.warm / self.seconds), int(objects)) / counted

    @property
    def files(self) -> Slope:
        """Return the slope of the number of open descriptors."""
        return slope(calmed(self.after_warm_up(self.watch.descriptors), _FAULT_SECONDS))

    @property
    def flat(self) -> bool:
        """Whether memory stays: no slope that can be told from 0, or too little to matter in this time."""
        return self.memory.none or self.memory.slope * (self.seconds - self.warm) < _GROWTH_BYTES

    @property
    def good(self) -> bool:
        """Whether nothing was lost, nothing grows, and as much was put in as asked for."""
        quiet = self.flat and (self.files.none or self.files.slope < 0)
        return self.lost == 0 and self.weaker == 0 and quiet and self.rate > _ENOUGH * self.asked

    def __str__(self) -> str:
        memory, usual, files, hour = self.memory, self.usual, self.files, 3600
        last = [y for _, y in self.after_warm_up(self.watch.descriptors)]
        return (
            f"{self.seconds / 60:.1f} minutes, {self.faults} faults: sent {self.sent:,} "
            f"({self.rate:,.0f} a second put in, at most {self.late:.1f} s late), "
            f"received {self.tally.received:,}, LOST {self.lost:,}, repeated {self.tally.repeated:,}, "
            f"torn {self.tally.torn:,}, longest stall {self.tally.longest_stall:.1f} s\n"
            f"memory: mean {memory.mean / _MIB:.1f} MiB, {memory.slope * hour / _MIB:+.2f} ± "
            f"{memory.margin * hour / _MIB:.2f} MiB an hour (95 %, after {self.warm:.0f} s): {memory.told}\n"
            f"memory by Theil and Sen: {usual.slope * hour / _MIB:+.2f} ± "
            f"{usual.margin * hour / _MIB:.2f} MiB an hour: {usual.told}\n"
            f"of it the table of recognised objects, which has a bound: {self.known * hour / _MIB:+.2f}\n"
            f"descriptors: mean {files.mean:.1f}, {min(last):.0f} to {max(last):.0f}, "
            f"{files.slope * hour:+.2f} ± {files.margin * hour:.2f} an hour (95 %)\n"
            f"{'ok' if self.good else 'FAILED'}"
        )


def table_bytes(first: int, last: int) -> int:
    """Return by how much the table of delivered objects grows between so many objects and so many."""
    progress = ObjectProgress()
    tracemalloc.start()
    try:
        for number in range(last):
            if number == first:
                before, _ = tracemalloc.get_traced_memory()
            progress.release(SimpleNamespace(objects=[f"bucket/{number}"]), whole=True)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def warm_up(seconds: float) -> float:
    """Return how much of a soak does not count for growth."""
    return min(seconds * _WARM_UP, _LARGEST_WARM_UP)


@contextmanager
def playing(folder: Path) -> Iterator[Play]:
    """Set up a soak; the collector is not yet started."""
    certs, tally, no_name = make_certs(folder / "certs"), Tally(ROWS), folder / "no-name"
    with Ministack() as embedded, FaultProxy(embedded.url) as proxy, TlsSink(certs, behaves=tally) as sink:
        stage = Stage(embedded, lambda name: name, certs, folder)
        site = stage.site(visibility=30)
        with Wire(sink.port) as wire:
            outputs = output(wire.port, certs)
            outputs["devo"]["config"] |= {"address": NAME, **_PATIENCE.keys}
            chosen = services([site], auto=True, only=["flowlogs"], visibility_timeout_seconds=30)
            settings = configuration(chosen, outputs, folder)
            collector = Collector(
                SimpleNamespace(url=proxy.url), folder / "collector", settings, Launch("flows")
            )
            collector.environment |= {"PYTHONPATH": f"{INSIDE}:{ROOT}", "CHAOS_NO_NAME": str(no_name)}
            try:
                yield Play(site, sink, tally, wire, proxy, collector, no_name)
            finally:
                collector.kill()


def soak(folder: Path, seconds: float, rate: float, tell: Callable[[str], object]) -> Report:
    """Feed, plant faults and watch for so long; then let everything arrive and count."""
    with playing(folder) as play:
        play.collector.start()
        # First all that may fill up is filled: memory once used is kept, so growth after it is a leak.
        faults = chain([outage(warm_up(seconds) * _OUTAGE)], cycle(FAULTS))
        watch, began = Watch(), time.monotonic()
        planted, current, minute, due = 0, None, 0, _FAULT_SECONDS
        with Putter(play.site, play.tally, rate) as putter:
            while (now := time.monotonic() - began) < seconds:
                assert play.collector.alive, play.collector.tail()
                watch.look(play.collector.children[0].pid, now)
                if now >= due and not (current and current.is_alive()):
                    current = threading.Thread(target=next(faults), args=(play,), daemon=True)
                    current.start()
                    planted, due = planted + 1, max(due, now) + _FAULT_SECONDS
                if now >= 60 * (minute + 1):
                    minute += 1
                    tell(progress(minute, putter, play.tally, watch, planted))
                time.sleep(max(0.0, began + len(watch.resident) - time.monotonic()))
        if current:
            current.join()
        settle(play, putter.objects)
        play.collector.drain()
        weaker = sum("receipt_fallback" in log.read_text() for log in play.collector.folder.glob("log-*"))
        sent, lost = putter.objects * ROWS, play.tally.lost(putter.objects)
        parts = (rate, putter.rate, putter.late, play.tally, lost, planted, watch, weaker)
        return Report(seconds, sent, *parts)


def progress(minute: int, putter: Putter, tally: Tally, watch: Watch, planted: int) -> str:
    """Return one line about the minutes so far."""
    behind = putter.objects * ROWS - tally.received + tally.repeated
    return (
        f"minute {minute}: {putter.rate:,.0f} events a second put in, {behind:,} on their way, "
        f"{tally.repeated:,} repeated, {watch.resident[-1][1] / _MIB:.0f} MiB, "
        f"{watch.descriptors[-1][1]:.0f} descriptors, {planted} faults"
    )


def settle(play: Play, objects: int) -> None:
    """Wait until the queue is empty and all has arrived, or nothing has for a minute: it is lost then."""
    queue = play.site.queues["flowlogs"]

    def over() -> bool:
        assert play.collector.alive, play.collector.tail()
        arrived = len(play.tally.whole) >= objects or play.tally.quiet_seconds > _QUIET_SECONDS
        return arrived and not sum(play.site.aws.depth(queue))

    wait_until(over, _END_SECONDS, f"all {objects} objects have arrived", every=0.5)


def main() -> int:
    """Soak; 0 when nothing was lost and nothing grows."""
    minutes, rate = float(os.environ.get("SOAK_MINUTES", "60")), float(os.environ.get("SOAK_RATE", "50000"))

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = soak(Path(folder), minutes * 60, rate, tell)
    tell(str(report))
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
