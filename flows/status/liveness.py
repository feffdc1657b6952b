"""Whether the dataflow turns: what `/healthz` answers.

A source is called again and again while all goes well, and not any more once an output blocks: then the
output itself gives signs of life, each time it waits for its receiver or tries again. So an outage of Devo
leaves it healthy, and a step that hangs does not, wherever it hangs.

In a cluster a process may also be still because another one's output blocks. It cannot know; but bytewax then
has called nothing of ours. So there only a call that does not return is unhealthy.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from bytewax.inputs import FixedPartitionedSource

from flows.process import telemetry
from flows.status.outgoing import Outgoing
from transforms.block import Block, Flowing, Item, Transform
from transforms.wrapped import Lane, Sink, WrappedLane, WrappedSink, WrappedSource, WrappedWriter, Writer

EVENTS = "output"
SINKS = frozenset({EVENTS, "quarantine"})
"""Names of what delivers."""

GRACE_SECONDS = 120.0
"""How long there may be no sign of life. The longest that a healthy output is silent is its timeouts' sum."""

_T = TypeVar("_T")


class Liveness:
    """When something of the dataflow was last seen to move. Thread-safe.

    grace: seconds without a sign of life that are still well. alone: there is no other process. receipted:
    when an output was last done for an epoch, epoch seconds. begun: something of it was called. turned_at:
    when an epoch was last closed by all, by the clock.
    """

    def __init__(
        self,
        *,
        alone: bool = True,
        grace: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.alone, self._grace, self._clock = alone, grace, clock
        self.begun = False
        self.turned_at = clock()
        self._more: Callable[[], str] = str
        self._lanes = self._ended = 0
        self.receipted = 0.0
        self._seen = self._rest_until = clock()
        self.outgoing = Outgoing()
        self._inside: dict[int, str] = {}

    def beat(self, rest: float = 0.0) -> None:
        """Note a sign of life. rest: seconds for which there will be none, as it was decided."""
        self._seen = self._clock()
        self._rest_until = max(self._rest_until, self._seen + rest)

    def unhealthy_reason(self) -> str:
        """Return what is wrong, "" if nothing is."""
        still = self._clock() - max(self._seen, self._rest_until)
        inside = sorted(set(self._inside.copy().values()))
        if not self.begun or still < self._grace or not (self.alone or inside):
            return self._more()
        return f"the dataflow has not turned for {self._clock() - self._seen:.0f} s" + (
            f", it is in {' and '.join(inside)}" if inside else ""
        )

    def also(self, reason: Callable[[], str]) -> None:
        """Be unhealthy too while `reason` returns one."""
        self._more = reason

    def turned(self) -> None:
        """Note that an epoch was closed by all: a lane is called for the next one."""
        self.turned_at = self._clock()

    @property
    def seen_at(self) -> float:
        """When there was a sign of life last, by the clock."""
        return self._seen

    @property
    def drained(self) -> bool:
        """Tell that all lanes of this process have ended: all that they emitted is settled."""
        return 0 < self._lanes == self._ended

    def lane_built(self) -> None:
        """Count a lane."""
        self._lanes += 1

    def lane_ended(self) -> None:
        """Count a lane's end."""
        self._ended += 1

    def inside(self) -> str:
        """Return in what the dataflow is just now, "" = in nothing of ours."""
        return " and ".join(sorted(set(self._inside.copy().values())))

    def delivering(self) -> bool:
        """Tell whether it is in an output."""
        return bool(SINKS & set(self._inside.copy().values()))

    def during(self, what: str, call: Callable[[], _T]) -> _T:
        """Make a call on a thread of the dataflow. what: its name, for messages."""
        if not self.begun:
            self.begun, self.turned_at = True, self._clock()
        me = threading.get_ident()
        self._inside[me] = what
        self.beat()
        try:
            return call()
        finally:
            self.beat()
            del self._inside[me]

    def source(self, source: FixedPartitionedSource[Flowing, Any]) -> WrappedSource:
        """Return the same source, watched: its calls are signs of life."""
        return WrappedSource(source, lambda name, lane: _WatchedLane(name, lane, self))

    def sink(self, name: str, sink: Sink) -> WrappedSink:
        """Return the same sink, watched: its calls are signs of life. name: for messages."""
        return WrappedSink(sink, lambda writer: _WatchedWriter(name, writer, self))

    def transform(self, name: str, transform: Transform) -> Transform:
        """Return the same transform, watched; it is done when the call returns."""

        def watched(block: Block) -> Iterable[Item]:
            return self.during(name, lambda: list(transform(block)))

        return watched


class _WatchedLane(WrappedLane):
    def __init__(self, name: str, lane: Lane, liveness: Liveness) -> None:
        super().__init__(lane)
        self._name, self._liveness = name, liveness
        self._sealed = False
        liveness.lane_built()

    def next_batch(self) -> Iterable[Flowing]:
        if self._sealed:
            self._sealed = False
            self._liveness.turned()
        try:
            return self._liveness.during(self._name, self.lane.next_batch)
        except StopIteration:
            self._liveness.lane_ended()
            raise

    def snapshot(self) -> Any:
        telemetry.epoch_closed()
        self._sealed = True
        return self._liveness.during(self._name, self.lane.snapshot)


class _WatchedWriter(WrappedWriter):
    def __init__(self, name: str, writer: Writer, liveness: Liveness) -> None:
        super().__init__(writer)
        self._name, self._liveness = name, liveness

    def write_batch(self, values: list[Any]) -> None:
        self._liveness.during(self._name, lambda: self.writer.write_batch(values))
        if self._name == EVENTS:
            self._liveness.outgoing.hear(values)

    def snapshot(self) -> Any:
        state = self._liveness.during(self._name, self.writer.snapshot)
        self._liveness.receipted = time.time()
        return state
