"""What can happen to a collector while events flow, each ending in a verdict on what arrived.

Objects are fed over the whole time, so that something is always in flight. A scene is long or short by its
arguments: `python -m tests.chaos` plays the long forms, `test_chaos.py` the short ones.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.chaos.resets import ResetProxy
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
from tests.fakes.corpus import Sample, corpus, expected
from tests.fakes.process import wait_until
from tests.fakes.receivers import Receiver, running

_SETTLE_SECONDS = 90.0
_VISIBILITY_SECONDS = 6
_SAMPLE_SECONDS = 0.05
_LIFE_SECONDS = 2.5  # from a start to the next kill, roughly
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


class Meter:
    """Watches what arrives, to tell how many lines one interval holds."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._seen: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def within(self, seconds: float) -> int:
        """Return how many lines arrived in the last so many seconds."""
        now, size = time.monotonic(), self._receiver.size()
        before = [count for moment, count in self._seen if moment <= now - seconds]
        return size - (before[-1] if before else 0)

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._seen.append((time.monotonic(), self._receiver.size()))


class Feeder:
    """Puts objects evenly over `seconds`, in a thread of its own."""

    def __init__(self, site: Site, samples: Sequence[Sample], seconds: float) -> None:
        self._site, self._samples, self._seconds = site, samples, seconds
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    @property
    def feeding(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        began = time.monotonic()
        for number, sample in enumerate(self._samples):
            time.sleep(max(0.0, began + self._seconds * number / len(self._samples) - time.monotonic()))
            self._site.put([sample])


@dataclass
class Play:
    """A scene's parts. allowed: grows with each misfortune by what was at risk then."""

    stage: Stage
    site: Site
    receiver: Receiver
    collector: Collector
    meter: Meter
    proxy: ResetProxy
    rng: random.Random
    allowed: int = field(default=0)

    def strike(self, misfortune: Callable[[], object]) -> None:
        """Let it happen, and note how many lines one snapshot interval had brought by that moment."""
        window = self.collector.launch.interval + _SLACK_SECONDS
        misfortune()
        self.allowed += self.meter.within(window)

    def finish(self, scene: str, times: int, samples: Sequence[Sample], seconds: float = 0.0) -> Outcome:
        """Wait for all events, drain, and judge."""
        due = expected(samples, auto=True)
        if self.collector.alive:
            settle(self.collector, self.receiver, [self.site], due.total(), _SETTLE_SECONDS)
            self.collector.drain()
        self.receiver.stop()
        return Outcome(scene, times, verdict(due, self.receiver.events()), self.allowed, seconds)


@contextmanager
def play(stage: Stage, launch: Launch, seed: int) -> Iterator[Play]:
    """Set up a scene on rsyslog (which has written what it receipts), the collector not yet started."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    for receiver in running("rsyslog", stage.folder / "receiver", stage.certs):
        with ResetProxy(receiver.port) as proxy, Meter(receiver) as meter:
            chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
            settings = configuration(chosen, output(proxy.port, stage.certs), stage.folder)
            collector = stage.collector(settings, launch)
            try:
                yield Play(stage, site, receiver, collector, meter, proxy, random.Random(seed))
            finally:
                collector.kill()


def objects(count: int, seed: int) -> list[Sample]:
    """Return objects of all types in mixed order, `count` in all."""
    fifth = count // 5
    kinds = {"cloudtrail": fifth, "vpc": fifth, "parquet": fifth, "cloudfront": fifth, "umbrella": fifth}
    samples = corpus(kinds, seed)
    random.Random(seed).shuffle(samples)
    return samples


def killed_collector(stage: Stage, times: int, count: int, launch: Launch, *, seed: int = 1) -> Outcome:
    """SIGKILL the collector at random moments: two of three while events flow, the others at any time."""
    samples = objects(count, seed)
    with play(stage, launch, seed) as scene:
        with Feeder(scene.site, samples, times * _LIFE_SECONDS):
            for number in range(times):
                before = scene.receiver.size()
                scene.collector.start()
                if number % 3 < 2:
                    wait_until(lambda seen=before: scene.receiver.size() > seen, 30, "events flow")
                time.sleep(scene.rng.uniform(0.0, 1.5))
                assert scene.collector.alive, scene.collector.tail()
                scene.strike(scene.collector.kill)
            scene.collector.start()
        return scene.finish(f"collector killed ({launch})", times, samples)


def killed_receiver(stage: Stage, times: int, count: int, launch: Launch, *, seed: int = 2) -> Outcome:
    """SIGKILL the receiver at random moments and start it again a little later."""
    samples = objects(count, seed)
    with play(stage, launch, seed) as scene:
        scene.collector.start()
        with Feeder(scene.site, samples, times * 1.5):
            scene.receiver.wait_for(1, 30)
            for _ in range(times):
                time.sleep(scene.rng.uniform(0.2, 1.5))
                scene.strike(scene.receiver.kill)
                time.sleep(scene.rng.uniform(0.0, 1.0))
                scene.receiver.start()
        return scene.finish(f"receiver killed ({launch})", times, samples)


def reset_connections(stage: Stage, times: int, count: int, launch: Launch, *, seed: int = 3) -> Outcome:
    """Reset all connections to the receiver at random moments."""
    samples = objects(count, seed)
    with play(stage, launch, seed) as scene:
        scene.collector.start()
        with Feeder(scene.site, samples, times * 0.4) as feeder:
            scene.receiver.wait_for(1, 30)
            while feeder.feeding and scene.proxy.resets < times:
                time.sleep(scene.rng.uniform(0.02, 0.5))
                scene.strike(scene.proxy.reset)
        return scene.finish(f"connections reset ({launch})", scene.proxy.resets, samples)


def drained(stage: Stage, count: int, launch: Launch, *, seed: int = 4) -> Outcome:
    """SIGTERM while everything is full; then start again: nothing is lost, nothing comes twice."""
    samples = objects(count, seed)
    with play(stage, launch, seed) as scene:
        scene.site.put(samples)
        scene.collector.start()
        scene.receiver.wait_for(1, 30)
        seconds = scene.collector.drain()
        scene.collector.start()
        return scene.finish(f"drained when full ({launch})", 1, samples, seconds)
