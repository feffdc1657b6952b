"""The matrix of delivery: every receiver under every fault, with everything that was sent counted at the end.

A run is one collector, one receiver, and one fault (the long form) or all of them one after the other (CI).
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.chaos.faults import Dose, Fault
from tests.chaos.load import Feeder
from tests.chaos.meter import Meter
from tests.chaos.targets import HttpTarget, Patience, Target
from tests.chaos.wire import Wire
from tests.fakes.certs import Certs, make_certs
from tests.fakes.collector import (
    ROOT,
    Collector,
    Launch,
    Site,
    Stage,
    Verdict,
    configuration,
    services,
    verdict,
)
from tests.fakes.corpus import expected
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until

PRODUCTION = Patience()
HASTY = Patience(receipt=2.0, sending=2.0, connect=2.0)
"""Timeouts for the form in CI, which cannot wait 30 s for each of them."""

_RATE = 8.0
_WAIT_SECONDS = 120.0
_VISIBILITY_SECONDS = 6
INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    planted: faults. verdict: None where the fault makes no sense. stall: longest time without an arrival, in
    seconds. weaker: how often the collector settled for less than a receipt.
    """

    target: str
    fault: str
    remark: str
    planted: int = 0
    verdict: Verdict | None = None
    stall: float = 0.0
    peak_bytes: int = 0
    weaker: int = 0

    @property
    def good(self) -> bool:
        """Nothing was lost, and every receipt was one."""
        return self.verdict is None or (self.verdict.lost == 0 and self.weaker == 0)


@dataclass
class Play:
    """The parts of a run, for the faults. planted: how many there were so far."""

    target: Target | HttpTarget
    receiver: Any
    collector: Collector
    wire: Wire
    proxy: FaultProxy
    feeder: Feeder
    meter: Meter
    certs: Certs
    no_name: Path
    rng: random.Random
    size: Callable[[], int]
    planted: int = field(default=0)
    bulks: int = field(default=0)

    def strike(self, misfortune: Callable[[], object]) -> None:
        """Let it happen."""
        misfortune()
        self.planted += 1

    def wait(self, true: Callable[[], object], what: str, seconds: float = _WAIT_SECONDS) -> None:
        """Wait for it as long as the collector lives."""
        wait_until(lambda: true() or not self.collector.alive, seconds, f"{what}\n{self.collector.tail()}")
        assert self.collector.alive, f"the collector ended:\n{self.collector.tail()}"

    def flowing(self) -> None:
        """Wait for an event that arrives now."""
        seen = self.size()
        self.wait(lambda: self.size() > seen, "events flow")

    def receipted(self) -> None:
        """Wait for a deletion at AWS that comes now: a receipt was taken, so the output's strength stands."""
        seen = self.proxy.count("sqs.DeleteMessageBatch")
        self.wait(lambda: self.proxy.count("sqs.DeleteMessageBatch") > seen, "a receipt is taken")

    def renew(self) -> None:
        """Let the collector open new connections, if its output would not do that by itself."""
        if self.target.keeps:
            self.wire.reset()

    def next_bulk(self) -> int:
        """Return a number that no other large object has."""
        self.bulks += 1
        return self.bulks

    def told(self, text: str) -> int:
        """Return how often the collector's logs say something."""
        return sum(text in line for log in self.logs() for line in log.read_text().splitlines())

    def logs(self) -> list[Path]:
        """Return the logs of all lives."""
        return sorted(self.collector.folder.glob("log-*"))


@contextmanager
def playing(
    stage: Stage, target: Target | HttpTarget, patience: Patience, seed: int
) -> Iterator[tuple[Play, Site]]:
    """Set up a run; the collector is not yet started."""
    certs = make_certs(stage.folder / "certs")
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    no_name = stage.folder / "no-name"
    with (
        target.running(stage.folder / "receiver", certs) as receiver,
        Wire(receiver.port) as wire,
        FaultProxy(stage.aws.url, seed=seed) as proxy,
    ):
        chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
        settings = configuration(chosen, target.output(wire.port, certs, patience), stage.folder)
        aws: Any = SimpleNamespace(url=proxy.url)
        collector = Collector(aws, stage.folder / "collector", settings, Launch("bytewax"))
        collector.environment |= {"PYTHONPATH": f"{INSIDE}:{ROOT}", "CHAOS_NO_NAME": str(no_name)}
        size = target.counter(receiver)
        with Meter(size, collector) as meter, Feeder(site, _RATE, seed) as feeder:
            parts = (target, receiver, collector, wire, proxy, feeder, meter, certs, no_name)
            try:
                yield Play(*parts, random.Random(seed), size), site
            finally:
                collector.kill()


def run(
    stage: Stage,
    target: Target | HttpTarget,
    faults: Sequence[tuple[Fault, Dose]],
    patience: Patience,
    seed: int = 1,
) -> Outcome:
    """Let a collector suffer these faults in turn, and count what has arrived."""
    with playing(stage, target, patience, seed) as (play, site):
        play.collector.start()
        for fault, dose in faults:
            play.receipted()
            fault.plant(play, dose)
        play.flowing()
        play.feeder.stop()
        due = expected(play.feeder.samples, auto=True)
        finish(play, site, target, {tag for tag, _ in due}, due.total())
        stalled, peak = play.meter.longest_stall, play.meter.peak_bytes
        play.receiver.stop()
        judgement = verdict(due, target.arrived(play.receiver))
        names = ", ".join(fault.name for fault, _ in faults)
        weaker = play.told("receipt_fallback")
        return Outcome(target.name, names, target.remark, play.planted, judgement, stalled, peak, weaker)


def finish(play: Play, site: Site, target: Target | HttpTarget, tags: set[str], total: int) -> None:
    """Wait until every queue is empty and everything has arrived; then drain."""
    play.wait(lambda: site.waiting() == 0, "every queue is empty")
    play.meter.weigh()
    play.collector.drain()
    target.wake(play.receiver, tags)
    deadline = time.monotonic() + _WAIT_SECONDS
    while play.size() < total and time.monotonic() < deadline:  # what is missing then is lost
        time.sleep(0.1)
