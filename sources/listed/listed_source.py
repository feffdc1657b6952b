"""Objects of a bucket that announces nothing, as a source: the lease family over a listing.

Parallel unit: one object, on one of eight fixed lanes. Guarantee: at least once; an object is noted as done
when all that was emitted of it is receipted, and its journal row is on disk. Resume: from the position in
the last snapshot of one of the lanes, behind the records of half-emitted objects. Cost: one GET an object,
and the listings (listed_queue.py).
"""

import threading
from typing import Any

from bytewax.inputs import FixedPartitionedSource

from sources.listed.listed_queue import BucketListing, ListedQueue
from sources.queues.lease import LeaseOptions, LeaseSource, MessageOpener
from transforms.block import Flowing
from transforms.wrapped import Lane, WrappedLane

_POSITION = "listed"
"""Key of a lane's state."""


class ListedSource(FixedPartitionedSource[Flowing, dict[str, Any]]):
    """Reads what a bucket's listing shows. queue, opener: what it reads and how, for a preview."""

    def __init__(
        self,
        service: str,
        listing: BucketListing,
        opener: MessageOpener,
        options: LeaseOptions,
        drain: threading.Event,
    ) -> None:
        self.queue, self.opener = ListedQueue(service, listing, drain, options.owner), opener
        self._leases = LeaseSource(service, [self.queue], opener, options, drain)

    def list_parts(self) -> list[str]:
        """Return the lanes, the same for ever."""
        return self._leases.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> Lane:
        """Build a lane; one of them has the position."""
        lane = self._leases.build_part(step_id, for_part, resume_state)
        if for_part != self.queue.queue.lane:
            return lane
        found = (resume_state or {}).get(_POSITION) or {}
        self.queue.load(found.get(self.queue.queue.short))
        return _PositionLane(lane, self.queue)


class _PositionLane(WrappedLane):
    """The same lane; its snapshots hold the position too."""

    def __init__(self, lane: Lane, queue: ListedQueue) -> None:
        super().__init__(lane)
        self._queue = queue

    def snapshot(self) -> dict[str, Any]:
        """Return the lane's state and the position, asked for last: what neither knows would come twice."""
        state = self.lane.snapshot()
        return {**state, _POSITION: {self._queue.queue.short: self._queue.state()}}
