"""Epochs of all sources end at the same moment: none waits long for another one.

bytewax lets a partition end its epoch when the interval is over and its step is activated, each by its own
clock, and calls none for the next epoch before all have ended the last. A source that sleeps ends late; the
others then wait for it, busy, and end early the next time: little by little a busy source comes to be called
once in an epoch. So nobody sleeps over the epoch's end, and who was early ends together with the last.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from bytewax.inputs import FixedPartitionedSource

from transforms.block import Flowing
from transforms.locks import Guard, guarded
from transforms.wrapped import Lane, WrappedLane, WrappedSource

_TOLERATED_SECONDS = 0.005
"""So much earlier than the last a lane may end its epoch; less is not worth a pause."""

_AHEAD_SECONDS = 0.02
"""A lane that would be early pauses from so long before: about as often a busy one is called."""

_AGAIN_SECONDS = 0.001

_LOCKS = (Guard("_lock", ("_sealed", "_lag", "_begun")),)


@guarded(_LOCKS)
class EpochAlignment:
    """Keeps the lanes of a process in step with each other and, in a cluster, with other processes'.

    interval: seconds of an epoch, as bytewax was told. alone: there is no other process. receipted: returns
    when the outputs of this process were last done for an epoch. Times are seconds of the wall clock, which
    is bytewax's; epochs count from the start of the process.
    """

    def __init__(
        self,
        interval: float,
        *,
        alone: bool = True,
        receipted: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._interval, self._alone, self._receipted = interval, alone, receipted
        self._lock = threading.RLock()
        self._sealed: dict[int, float] = {}
        self._lag = self._begun = 0.0

    def source(self, source: FixedPartitionedSource[Flowing, Any]) -> WrappedSource:
        """Return the same source, in step with all others."""
        return WrappedSource(source, lambda _name, lane: _Stepped(lane, self))

    def seal(self, epoch: int, now: float) -> None:
        """Note that a lane has ended an epoch and is now in `epoch`; others may not be yet."""
        with self._lock:
            if epoch not in self._sealed:
                self._sealed.pop(epoch - 2, None)
                self._lag = self._begun = 0.0
            self._sealed[epoch] = max(now, self._sealed.get(epoch, 0.0))

    def begin(self, epoch: int, asked: float, now: float) -> None:
        """Note that a lane is called for an epoch: all lanes of all processes have ended the last one.

        What this process has waited until its first lane was called, it was early. asked: when the lane was
        to be called.
        """
        if self._alone:
            return
        with self._lock:
            self._begun = self._begun or now
            ready = max(self._sealed[epoch], self._receipted(), asked)
            self._lag = max(self._lag, self._begun - ready)

    def call(self, wish: float, epoch: int, sealed: float, asked: float, now: float) -> float:
        """Return when a lane shall be called next.

        wish: when it wants to be. sealed: when it ended the epoch before `epoch`. asked: what this returned
        for the call that is under way.
        """
        with self._lock:
            end = self._sealed[epoch] + self._interval + self._lag
        earliest = sealed + self._interval
        if now >= end:  # it ends with this call, unless bytewax looked at its clock a little earlier
            return wish if asked >= end else min(wish, now + _AGAIN_SECONDS)
        if now >= earliest and end - now > self._interval / 2:
            # Early by a whole epoch: this call ends it, and the first of the next would do the same for ever.
            return end + self._interval / 2
        early = end - earliest > _TOLERATED_SECONDS and wish + _AHEAD_SECONDS >= earliest
        return end if early or wish > end else wish


class _Stepped(WrappedLane):
    def __init__(self, lane: Lane, epochs: EpochAlignment) -> None:
        super().__init__(lane)
        self._epochs = epochs
        self._epoch, self._new = 0, False
        self._sealed = self._asked = time.time()
        epochs.seal(0, self._sealed)

    def next_batch(self) -> Iterable[Flowing]:
        if self._new:
            self._new = False
            self._epochs.begin(self._epoch, self._asked, time.time())
        return self.lane.next_batch()

    def next_awake(self) -> datetime | None:
        wish, now = self.lane.next_awake(), time.time()
        wanted = now if wish is None else wish.timestamp()
        self._asked = self._epochs.call(wanted, self._epoch, self._sealed, self._asked, now)
        return wish if self._asked == wanted else datetime.fromtimestamp(self._asked, UTC)

    def snapshot(self) -> Any:
        state = self.lane.snapshot()
        self._epoch, self._new = self._epoch + 1, True
        self._sealed = time.time()
        self._epochs.seal(self._epoch, self._sealed)
        return state
