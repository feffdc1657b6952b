"""The sink of events: every block goes to every output, every epoch ends with their receipts.

Partitions are `p0 … p63` for ever; process k of N has those with number % N == k, and its blocks go to them
only, so that none is pickled to another process. bytewax builds a partition when it is first written to.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from threading import Event
from typing import Any, Protocol

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from msgspec import Struct

from sinks.frame import guard
from sinks.outputs import WINDOW_BYTES, Output, event_limit, opener
from sinks.settings import DevoPlatform, OutputSettings, Syslog
from transforms.block import Block, Item

PARTITIONS = tuple(f"p{number}" for number in range(64))
"""A recovery store knows them by name: never change them."""

_PLACE = {key: place for place, key in enumerate(sorted(PARTITIONS))}


class Process(Struct, frozen=True):
    """This process's place in its cluster, from 0."""

    index: int = 0
    count: int = 1


class Cluster(Protocol):
    """What a sink asks of the launch: its process, and how many workers that has."""

    @property
    def process(self) -> Process:
        """The place of this process."""

    @property
    def workers(self) -> int:
        """Worker threads of this process."""


def own_partitions(process: Process) -> list[str]:
    """Return the partitions of a process, in bytewax's (lexicographic) order."""
    return sorted(key for number, key in enumerate(PARTITIONS) if number % process.count == process.index)


def place(key: str) -> int:
    """Return where bytewax finds a partition: its place among all, in their lexicographic order."""
    return _PLACE[key]


class DevoSink(FixedPartitionedSink[Block, dict[str, Any]]):
    """Sends blocks to all outputs. limit: bytes of the largest event that all of them take.

    drain: set when the process shall end. window_bytes: what may be without receipt, per output and process.
    """

    def __init__(
        self,
        outputs: Sequence[OutputSettings],
        cluster: Cluster,
        drain: Event | None = None,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._process = cluster.process
        self.limit = event_limit(outputs)
        self._limit_of = lru_cache(maxsize=4096)(partial(event_limit, tuple(outputs)))
        wanted = max(cluster.workers, *(_connections(output) for output in outputs), 1)
        self._keys = own_partitions(self._process)[:wanted]
        self._openers = [opener(output, window_bytes // len(self._keys), drain) for output in outputs]

    def keys(self) -> list[str]:
        """Return the partition keys of this process: one for each connection.

        There is at least one for each worker: bytewax hands partitions to them in turn.
        """
        return list(self._keys)

    def fit(self, item: Item) -> list[Item]:
        """Return the item as the outputs can take it: events that are too large become poison.

        A step before the branch between events and poison; stateless.
        """
        return guard(item, self._limit_of(item.tag)) if isinstance(item, Block) else [item]

    def list_parts(self) -> list[str]:
        """List this process's partitions."""
        return own_partitions(self._process)

    def part_fn(self, item_key: str) -> int:
        """Route each key to the partition of the same name."""
        return place(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "DevoPartition":
        """Build a partition with an output of its own of each kind; connections open with the first block."""
        del step_id, for_part
        return DevoPartition([make() for make in self._openers], resume_state)


class DevoPartition(StatefulSinkPartition[Block, dict[str, Any]]):
    """One connection to each output."""

    def __init__(self, outputs: Sequence[Output], resume_state: dict[str, Any] | None) -> None:
        self._outputs = outputs
        self._receipts: int = (resume_state or {}).get("receipts", 0)

    def write_batch(self, values: list[Block]) -> None:
        """Send blocks to every output. Raises DeliveryError, which ends the process."""
        for block in values:
            for output in self._outputs:
                output.write(block)

    def snapshot(self) -> dict[str, Any]:
        """Take every output's receipt: sources may acknowledge only after this. Raises DeliveryError."""
        for output in self._outputs:
            output.begin()
        for output in self._outputs:
            output.finish()
        self._receipts += 1
        return {"v": 1, "receipts": self._receipts}

    def close(self) -> None:
        """Let go of connections; what has no receipt stays unacknowledged."""
        for output in self._outputs:
            output.close()


def _connections(output: OutputSettings) -> int:
    return output.config.concurrent_connections if isinstance(output, DevoPlatform | Syslog) else 1
