"""What a message holds, cut in pieces, and who opens it: the strategy of a service of the lease family."""

from collections.abc import Callable, Generator
from typing import Protocol, TypeAlias

from msgspec import Struct

from sources.journal import JournalRow
from sources.queues.sqs import Message
from transforms.block import LEAST_EVENT_BYTES, Block, Item

Resume: TypeAlias = Callable[[str], int]
"""(object id) → records of it that the dataflow has already; `object_progress.ALL` = all of it.

Raises ObjectBusy when another lease reads the same object. Asking claims the object for the lease.
"""


_OVERHEAD = 4 << 10
"""Lease, message and origin of what waits, in bytes. It bounds the number of small objects that wait, too:
while fetchers find room, they leave the dataflow no time.
"""


class ObjectBatch(Struct, frozen=True):
    """What is handed to the dataflow as one, and how far its object has come with it.

    object_id: "" = no progress is kept. records: of the object, up to and including this cut.
    last: nothing of the object follows; such a cut may be empty. gone: there is no such object; a notice
    that comes when there is one finds nothing done of it. row: of the object, when it is the last.
    """

    items: tuple[Item, ...]
    object_id: str = ""
    records: int = 0
    last: bool = False
    gone: bool = False
    row: JournalRow | None = None

    @property
    def size(self) -> int:
        """Return about what it holds in memory or costs a receiver, its lease and message included. Bytes."""
        return _OVERHEAD + sum(
            max(len(item.payload), LEAST_EVENT_BYTES * item.count)
            if isinstance(item, Block)
            else len(item.body)
            for item in self.items
        )


class MessageOpener(Protocol):
    """Knows what a message stands for. Runs in the feed's threads and may wait for AWS."""

    def causes(self, message: Message) -> tuple[str, ...]:
        """Name what many messages may fail for, broad to narrow: ("region r", "bucket b"). Asks nobody."""

    def open(self, message: Message, resume: Resume) -> Generator[ObjectBatch, None, None]:
        """Yield what the message holds, behind what `resume` tells of each object.

        A batch of nothing, of no object, only says that something moves, for whoever looks for what is stuck.
        Closed in mid-iteration when the process drains or the lease is lost. Raises SourceError: the message
        is given back (see `failure_policy.py`), and what was yielded before is not yielded again.
        """
