"""Sources and sinks that are another one and more: what a wrapper leaves out, the other one does."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from transforms.block import Flowing

Lane: TypeAlias = StatefulSourcePartition[Flowing, Any]
Writer: TypeAlias = StatefulSinkPartition[Any, Any]
Sink: TypeAlias = FixedPartitionedSink[Any, Any]


class WrappedLane(Lane):
    """The same lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def next_batch(self) -> Iterable[Flowing]:
        """Return what the lane does."""
        return self.lane.next_batch()

    def next_awake(self) -> datetime | None:
        """Return what the lane does."""
        return self.lane.next_awake()

    def snapshot(self) -> Any:
        """Return what the lane does."""
        return self.lane.snapshot()

    def close(self) -> None:
        """Close the lane."""
        self.lane.close()


class WrappedSource(FixedPartitionedSource[Flowing, Any]):
    """The same source. wrap: called with a lane's name (step and partition) and the lane."""

    def __init__(
        self, source: FixedPartitionedSource[Flowing, Any], wrap: Callable[[str, Lane], Lane]
    ) -> None:
        self._source, self._wrap = source, wrap

    def list_parts(self) -> list[str]:
        """List the source's partitions."""
        return self._source.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Lane:
        """Build the source's partition, and wrap it."""
        return self._wrap(f"{step_id} {for_part}", self._source.build_part(step_id, for_part, resume_state))


class WrappedWriter(Writer):
    """The same partition of a sink."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def write_batch(self, values: list[Any]) -> None:
        """Write as it does."""
        self.writer.write_batch(values)

    def snapshot(self) -> Any:
        """Return what it does."""
        return self.writer.snapshot()

    def close(self) -> None:
        """Close it."""
        self.writer.close()


class WrappedSink(Sink):
    """The same sink. wrap: called with each of its partitions."""

    def __init__(self, sink: Sink, wrap: Callable[[Writer], Writer]) -> None:
        self._sink, self._wrap = sink, wrap

    def list_parts(self) -> list[str]:
        """List the sink's partitions."""
        return self._sink.list_parts()

    def part_fn(self, item_key: str) -> int:
        """Route as the sink does."""
        return self._sink.part_fn(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Writer:
        """Build the sink's partition, and wrap it."""
        return self._wrap(self._sink.build_part(step_id, for_part, resume_state))
