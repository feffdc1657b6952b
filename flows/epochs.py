"""Epochs of all sources end at the same moment: none waits long for another one.

bytewax lets a source end its epoch when the interval is over and the source is called, each by its own clock,
and calls none for the next epoch before all have ended the last. A source that sleeps ends late; the others
then wait for it, busy, and end early the next time: little by little a busy source comes to be called once in
an epoch. So nobody sleeps longer than until the epoch ends, and who was early ends together with the last.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from transforms.block import Item

_TOLERATED_SECONDS = 0.005
"""So much earlier than the last a lane may end its epoch; less is not worth a pause."""

_STEP_SECONDS = 0.05
"""A busy lane that is called as often as this does not miss the moment to pause."""

_AGAIN_SECONDS = 0.001


class Epochs:
    """Keeps the lanes of a process in step, those of each worker with each other and with other workers'.

    interval: seconds of an epoch, as bytewax was told. Times are of the clock that bytewax reads.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.time) -> None:
        self.interval, self.clock = interval, clock
        self._workers: dict[int, Worker] = {}

    @property
    def worker(self) -> "Worker":
        """Return the worker whose thread this is; `threading.local` forgets threads that are not Python's."""
        return self._workers.setdefault(threading.get_ident(), Worker(self.interval))

    def source(self, source: FixedPartitionedSource[Item, Any]) -> "SteppedSource":
        """Return the same source, in step with all others."""
        return SteppedSource(source, self)

    def sink(self, sink: FixedPartitionedSink[Any, Any]) -> "SteppedSink":
        """Return the same sink: when it is done for an epoch, it is told."""
        return SteppedSink(sink, self)


class Worker:
    """When the lanes of a worker ended an epoch: `sealed`, number of the epoch → moment of the last of them.

    done: when its last output had all receipts. lag: how long the worker then waited for other workers,
    because it had been early. Epochs count from the start of the process.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.sealed: dict[int, float] = {}
        self.done = self.lag = 0.0
        self._waits = False

    def seal(self, epoch: int, now: float) -> None:
        """Note that a lane has ended an epoch and is now in `epoch`; others of the worker may not be yet."""
        if epoch not in self.sealed:
            self.sealed = {number: at for number, at in self.sealed.items() if number == epoch - 1}
            self.lag = 0.0
        self.sealed[epoch] = now
        self._waits = True

    def begin(self, epoch: int, now: float) -> None:
        """Note that a lane that was due is called for an epoch: all workers have ended the last one."""
        if self._waits:
            self._waits = False
            self.lag = max(now - max(self.sealed[epoch], self.done), 0.0)

    def end(self, epoch: int) -> float:
        """Return the moment at which all lanes shall end an epoch."""
        return self.sealed[epoch] + self._interval + self.lag


class Span(NamedTuple):
    """What an epoch is to a lane. earliest: from when on a call ends it. end: when one shall."""

    earliest: float
    end: float

    def call(self, wish: float, step: float, asked: float, now: float) -> float:
        """Return when a lane shall be called next.

        wish: when it wants to be. step: how long a busy lane's next call may be away, 0 of an idle one.
        asked: what this returned for the call that is under way.
        """
        if now >= self.end:  # it ends with this call, unless bytewax looked at its clock a little earlier
            return wish if asked >= self.end else min(wish, now + _AGAIN_SECONDS)
        early = self.end - self.earliest > _TOLERATED_SECONDS
        if wish > self.end or (early and wish + min(step, _STEP_SECONDS) >= self.earliest):
            return self.end
        return wish


class SteppedSource(FixedPartitionedSource[Item, Any]):
    """A source whose lanes end their epochs in step."""

    def __init__(self, source: FixedPartitionedSource[Item, Any], epochs: Epochs) -> None:
        self._source, self._epochs = source, epochs

    def list_parts(self) -> list[str]:
        """List the source's partitions."""
        return self._source.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_Lane":
        """Build the source's partition."""
        return _Lane(self._source.build_part(step_id, for_part, resume_state), self._epochs)


class _Lane(StatefulSourcePartition[Item, Any]):
    def __init__(self, lane: StatefulSourcePartition[Item, Any], epochs: Epochs) -> None:
        self._lane, self._clock, self._worker = lane, epochs.clock, epochs.worker
        self._interval = epochs.interval
        self._sealed = self._called = self._due = epochs.clock()
        self._step = 0.0
        self._epoch, self._new = 0, False
        self._worker.seal(0, self._sealed)

    def next_batch(self) -> Iterable[Item]:
        now = self._clock()
        self._step, self._called = now - self._called, now
        if self._new:
            self._new = False
            if self._due <= self._sealed:
                self._worker.begin(self._epoch, now)
        return self._lane.next_batch()

    def next_awake(self) -> datetime | None:
        wish, now = self._lane.next_awake(), self._clock()
        wanted, step = (now, self._step) if wish is None else (wish.timestamp(), 0.0)
        span = Span(self._sealed + self._interval, self._worker.end(self._epoch))
        self._due = span.call(wanted, step, self._due, now)
        if self._due == wanted:
            return wish
        return datetime.fromtimestamp(self._due, UTC)

    def snapshot(self) -> Any:
        state = self._lane.snapshot()
        self._sealed, self._new = self._clock(), True
        self._epoch += 1
        self._worker.seal(self._epoch, self._sealed)
        return state

    def close(self) -> None:
        self._lane.close()


class SteppedSink(FixedPartitionedSink[Any, Any]):
    """A sink that tells when it is done for an epoch."""

    def __init__(self, sink: FixedPartitionedSink[Any, Any], epochs: Epochs) -> None:
        self._sink, self._epochs = sink, epochs

    def list_parts(self) -> list[str]:
        """List the sink's partitions."""
        return self._sink.list_parts()

    def part_fn(self, item_key: str) -> int:
        """Route as the sink does."""
        return self._sink.part_fn(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_Writer":
        """Build the sink's partition."""
        return _Writer(self._sink.build_part(step_id, for_part, resume_state), self._epochs)


class _Writer(StatefulSinkPartition[Any, Any]):
    def __init__(self, writer: StatefulSinkPartition[Any, Any], epochs: Epochs) -> None:
        self._writer, self._clock, self._worker = writer, epochs.clock, epochs.worker

    def write_batch(self, values: list[Any]) -> None:
        self._writer.write_batch(values)

    def snapshot(self) -> Any:
        state = self._writer.snapshot()
        self._worker.done = self._clock()
        return state

    def close(self) -> None:
        self._writer.close()
