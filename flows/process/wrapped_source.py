"""A source whose lanes are wrapped, each as it is built."""

from collections.abc import Callable
from typing import Any, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from transforms.block import Flowing

Lane: TypeAlias = StatefulSourcePartition[Flowing, Any]


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
