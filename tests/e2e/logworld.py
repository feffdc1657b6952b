"""A world that writes CloudWatch logs while a collector lives and dies; its groups come and go."""

import random
import threading
import time
from collections.abc import Container
from dataclasses import dataclass

from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.core import ACCOUNT, LOCK
from tests.fakes.fake_aws.server import PLAN, REGION
from tests.fakes.process import Background

GROUPS, STREAMS = 40, 300
_TICK_SECONDS = 0.25
_LATE_SHARE = 0.05
_LIFES = 5
"""A passing group or stream lives for the fifth part of the whole time."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is written. backlog: events older than the collector. live: events over `seconds`.

    late: how many seconds after its time an event may be shown. settle, overlap: the collector's settings.
    births: seconds from one birth of groups and streams to the next.
    patient: live events begin when the backlog has arrived, so that they are read as they come.
    """

    backlog: int
    live: int
    seconds: float
    late: float
    settle: int
    overlap: int
    births: float
    patient: bool = False


class World(Background):
    """Writes in a thread of its own while the block runs; `must` is what has to arrive, `may` what can.

    An event need not arrive when its group or stream was deleted before, or when it was shown later than
    settle + overlap allow. arrived: the ids that have arrived so far.
    """

    def __init__(self, scale: Scale, arrived: Container[str], seed: int = 1) -> None:
        self.scale, self.must, self.may = scale, set[str](), set[str]()
        self.written = 0
        self.born = self.deleted = 0
        self._arrived, self._rng = arrived, random.Random(seed)
        self._passing: list[tuple[float, list[str], list[str]]] = []
        self._churns, self._churning = True, threading.Lock()
        super().__init__()
        self._error: BaseException | None = None
        self._backlog(int(time.time() * 1000))
        fake_aws.shuffle("FilterLogEvents")

    @property
    def share(self) -> float:
        """How much of the live events has been written, 0 to 1."""
        assert self._error is None, f"the world ended: {self._error!r}"
        return min(self.written / self.scale.live, 1.0)

    def settle_down(self) -> None:
        """Let no more groups and streams come and go, from this moment on."""
        with self._churning:
            self._churns = False

    # writing

    def _backlog(self, now: int) -> None:
        while len(self.must) < self.scale.backlog:
            at = now - self._rng.randrange(600_000, 3_600_000)
            self._burst(*self._place(), at, 0)

    def _place(self) -> tuple[str, str]:
        number = self._rng.randrange(STREAMS)
        return f"/app/{number % GROUPS}", f"stream-{number}"

    def _burst(self, group: str, stream: str, at: int, late: float) -> list[str]:
        """Write one to some events of one millisecond."""
        size = self._rng.choice([1, 1, 1, 2, 3, 9])
        events = [{"timestamp": at, "message": f"line {n}\n\ttail", "late_s": late} for n in range(size)]
        ids = fake_aws.put_log_events(group, stream, events)
        shown_after = time.time() + late - at / 1000
        in_time = (
            at < time.time() * 1000 - 600_000 or shown_after < self.scale.settle + self.scale.overlap - 1
        )
        (self.must if in_time else self.may).update(ids)
        return ids

    def _run(self) -> None:
        try:
            while self.scale.patient and not self._ended.wait(_TICK_SECONDS):
                if all(one in self._arrived for one in self.must):
                    break
            began, next_birth = time.monotonic(), 0.0
            while not self._ended.wait(_TICK_SECONDS) and self.written < self.scale.live:
                passed = time.monotonic() - began
                self._live(min(passed / self.scale.seconds, 1) * self.scale.live)
                PLAN.page_size["FilterLogEvents"] = int(10 ** self._rng.uniform(0, 4))
                fake_aws.empty_pages("FilterLogEvents", 1)
                with self._churning:
                    if self._churns and passed >= next_birth:
                        next_birth = passed + self.scale.births
                        self._births(passed)
                    if self._churns:
                        self._deaths(passed)
            PLAN.page_size.pop("FilterLogEvents", None)
        except BaseException as error:  # noqa: BLE001 - the test that reads `share` raises it
            self._error = error

    def _live(self, until: float) -> None:
        while self.written < until:
            late = self._rng.uniform(0, self.scale.late) if self._rng.random() < _LATE_SHARE else 0
            at = int(time.time() * 1000) - self._rng.randrange(300)
            self.written += len(self._burst(*self._place(), at, late))

    def _births(self, now: float) -> None:
        """Make a group with events, an empty one, and a stream in a group that stays."""
        self.born += 1
        group, empty, stream = f"/passing/{self.born}", f"/empty/{self.born}", f"passing-{self.born}"
        home = self._place()[0]
        at = int(time.time() * 1000)
        fake_aws.put_log_group(empty)
        in_group = self._burst(group, "s", at, 0) + self._burst(group, "t", at, 0)
        in_stream = self._burst(home, stream, at, 0)
        self._passing += [(now, [group], in_group), (now, [empty], []), (now, [home, stream], in_stream)]

    def _deaths(self, now: float) -> None:
        """Delete what is old enough; events that have not arrived by then need not."""
        old = self.scale.seconds / _LIFES
        for _, path, ids in [one for one in self._passing if now - one[0] > old]:
            _delete(*path)
            self.deleted += 1
            gone = {one for one in ids if one not in self._arrived}
            self.must -= gone
            self.may |= gone
        self._passing = [one for one in self._passing if now - one[0] <= old]


def _delete(group: str, stream: str = "") -> None:
    from moto.logs.models import logs_backends  # noqa: PLC0415 - moto is slow to import

    backend = logs_backends[ACCOUNT][REGION]
    with LOCK:
        backend.delete_log_stream(group, stream) if stream else backend.delete_log_group(group)
