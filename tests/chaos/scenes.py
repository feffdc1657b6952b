"""What the matrix does not ask: repeats after a kill stay within what was at risk, and a drain is clean.

Objects are fed over the whole time, so that something is always in flight. A scene is long or short by its
arguments: `python -m tests.chaos` plays the long forms, `test_chaos.py` the short ones.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.load import Feeder, objects
from tests.chaos.meter import Lines, Meter
from tests.fakes.collector import (
    Collector,
    Launch,
    Site,
    Stage,
    Verdict,
    configuration,
    output,
    services,
    settle,
    verdict,
)
from tests.fakes.corpus import Sample, expected
from tests.fakes.process import wait_until
from tests.fakes.receivers import Receiver, running

_SETTLE_SECONDS = 90.0
_VISIBILITY_SECONDS = 6
_RATE = 40.0
_SLACK_SECONDS = 0.5  # receipt and deletion take their time


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scene's result.

    times: how often its misfortune struck. allowed: the most repeats that may follow, all in all: each time
    what one snapshot interval emitted. seconds: how long it took to drain, in the scene that is about that.
    """

    scene: str
    times: int
    verdict: Verdict
    allowed: int
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.verdict.lost == 0 and self.verdict.repeated <= self.allowed


@dataclass
class Play:
    """A scene's parts. allowed: grows with each kill by what was at risk then."""

    site: Site
    receiver: Receiver
    collector: Collector
    meter: Meter
    rng: random.Random
    allowed: int = field(default=0)

    def kill(self) -> None:
        """SIGKILL the collector, and note how many lines one snapshot interval had brought by that moment."""
        assert self.collector.alive, self.collector.tail()
        self.collector.kill()
        self.allowed += self.meter.within(self.collector.launch.interval + _SLACK_SECONDS)

    def finish(self, scene: str, times: int, samples: Sequence[Sample], seconds: float = 0.0) -> Outcome:
        """Wait for all events, drain, and judge."""
        due = expected(samples, auto=True)
        settle(self.collector, self.receiver, [self.site], due.total(), _SETTLE_SECONDS)
        self.collector.drain()
        self.receiver.stop()
        return Outcome(scene, times, verdict(due, self.receiver.events()), self.allowed, seconds)


@contextmanager
def playing(stage: Stage, launch: Launch, seed: int) -> Iterator[Play]:
    """Set up a scene on rsyslog (which has written what it receipts), the collector not yet started."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    for receiver in running("rsyslog", stage.folder / "receiver", stage.certs):
        chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
        settings = configuration(chosen, output(receiver.port, stage.certs), stage.folder)
        collector = stage.collector(settings, launch)
        with Meter(Lines(receiver.folder / "out"), collector) as meter:
            try:
                yield Play(site, receiver, collector, meter, random.Random(seed))
            finally:
                collector.kill()


def killed_collector(stage: Stage, times: int, launch: Launch, *, seed: int = 1) -> Outcome:
    """SIGKILL the collector at random moments: two of three while events flow, the others at any time."""
    with playing(stage, launch, seed) as scene:
        with Feeder(scene.site, _RATE, seed) as feeder:
            for number in range(times):
                before = scene.receiver.size()
                scene.collector.start()
                if number % 3 < 2:
                    wait_until(lambda seen=before: scene.receiver.size() > seen, 60, "events flow")
                time.sleep(scene.rng.uniform(0.0, 1.5))
                scene.kill()
            scene.collector.start()
        return scene.finish(f"collector killed ({launch})", times, feeder.samples)


def drained(stage: Stage, count: int, launch: Launch, *, seed: int = 4) -> Outcome:
    """SIGTERM while everything is full; then start again: nothing is lost, nothing comes twice."""
    samples = objects(count, seed)
    with playing(stage, launch, seed) as scene:
        scene.site.put(samples)
        scene.collector.start()
        scene.receiver.wait_for(1, 30)
        seconds = scene.collector.drain()
        scene.collector.start()
        return scene.finish(f"drained when full ({launch})", 1, samples, seconds)
