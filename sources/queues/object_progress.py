"""How far each object has come, for all lanes of one service in one process.

An object (or a message that is the event itself) is here from its first emitted record until its message is
deleted, so that whoever receives the message again goes on behind what the dataflow already has:

    claimed    one lease reads it; a second notice of it is told ObjectBusy
    partial    so many of its records were emitted, by that lane; part of that lane's snapshot
    complete   all were emitted; known in snapshots too, until its message is deleted (or an hour is over)
    done       receipted: a repeat emits nothing, within a window of the last 100,000 objects; those of former
               lives are known from the journal, whose rows are later than any snapshot
    gone       not there when its notice came: forgotten, since it may be there when the next one comes

A snapshot never tells more than its lane had emitted when it was taken. An object may move to another lane
(its lease was lost, its message came again): lanes are at most one epoch apart, and an epoch is receipted
for all lanes or for none, so the greatest number among the lanes' snapshots is always safe.
"""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from sources.errors import ObjectBusy
from sources.journal import digest
from sources.queues.lease_life import Lease
from sources.queues.message_opener import ObjectBatch
from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_claims", "_entries", "_done")),)
"""And `objects` of whoever claims."""

VERSION = 1
ALL = sys.maxsize
"""Instead of a number of records: nothing of the object is missing."""

KEPT_SECONDS = 3600.0
"""How long a snapshot tells of an object that nobody works on: its message was deleted by whoever died, or is
another process's. A message that is still there comes again when its lease is over, and is told anew then."""


class _Entry(Struct):
    records: int
    lane: str
    complete: bool = False
    since: float = 0.0


class _Window(Struct):
    """The last ids, as digests: keys may be a kilobyte long."""

    limit: int
    _known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def __contains__(self, object_id: str) -> bool:
        return digest(object_id) in self._known

    def add(self, known: bytes) -> None:
        self._known.pop(known, None)
        self._known[known] = None
        if len(self._known) > self.limit:
            self._known.popitem(last=False)


@guarded(_LOCKS)
class ObjectProgress:
    """The table. Thread-safe; every call is short. window, entries: bounds, the oldest is forgotten."""

    def __init__(
        self, window: int = 100_000, entries: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._claims: dict[str, Lease] = {}
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._most = entries
        self._done = _Window(window)

    def load(self, lane: str, state: Mapping[str, Any]) -> None:
        """Take over what a lane's snapshot knows (`{"partial": {id: records}, "done": [id, …]}`)."""
        with self._lock:
            for object_id, records in state.get("partial", {}).items():
                known = self._entries.get(object_id)
                if known is None or known.records < records:
                    self._set(object_id, _Entry(records, lane))
            for object_id in state.get("done", ()):
                self._set(object_id, _Entry(0, lane, complete=True))
                self._done.add(digest(object_id))

    def recall(self, digests: Iterable[bytes]) -> None:
        """Take over the ids that the journal has rows of: they are done. digests: the latest last."""
        with self._lock:
            for one in digests:
                self._done.add(one)

    def state(self, lane: str) -> dict[str, Any]:
        """Return what a lane's snapshot has to know: plain data, a copy."""
        with self._lock:
            self._expire()
            mine = [(object_id, entry) for object_id, entry in self._entries.items() if entry.lane == lane]
        return {
            "v": VERSION,
            "partial": {object_id: entry.records for object_id, entry in mine if not entry.complete},
            "done": [object_id for object_id, entry in mine if entry.complete],
        }

    def claim(self, object_id: str, holder: Lease) -> int:
        """Return how many records of an object to skip; ALL = it is done, emit nothing.

        Raises ObjectBusy when another lease reads it.
        """
        with self._lock:
            other = self._claims.get(object_id)
            if other is not None and other is not holder:
                raise ObjectBusy("it is being collected already", object_id, "its repeat comes again later")
            if other is None:
                holder.objects.append(object_id)
            if object_id in self._done:
                return ALL
            self._claims[object_id] = holder
            entry = self._entries.get(object_id)
            return entry.records if entry else 0

    def emitted(self, lane: str, cuts: Iterable[ObjectBatch]) -> None:
        """Note what a lane has handed to the dataflow: of each cut's object, the records up to its end."""
        with self._lock:
            for cut in cuts:
                if cut.gone:
                    self._forget(cut.object_id)
                else:
                    self._set(cut.object_id, _Entry(cut.records, lane, cut.last))

    def _forget(self, object_id: str) -> None:
        """Let go of an object that was not there: when it comes, nothing of it is done."""
        self._entries.pop(object_id, None)
        holder = self._claims.pop(object_id, None)
        if holder is not None:
            holder.objects.remove(object_id)

    def release(self, holder: Lease, *, whole: bool) -> None:
        """Let go of what a lease has claimed, once all that it emitted is receipted.

        whole: every object of it was emitted completely; else only those whose entries say so are done.
        """
        with self._lock:
            for object_id in holder.objects:
                if self._claims.get(object_id) is holder:
                    del self._claims[object_id]
                entry = self._entries.get(object_id)
                if whole or (entry and entry.complete):
                    self._done.add(digest(object_id))

    def settled(self, holder: Lease) -> None:
        """Forget the numbers of complete objects: their message is deleted and comes no more."""
        with self._lock:
            for object_id in holder.objects:
                entry = self._entries.get(object_id)
                if entry and entry.complete:
                    del self._entries[object_id]

    def _expire(self) -> None:
        """Forget the oldest entries when their time is over; one that is being read begins anew."""
        late = self._clock() - KEPT_SECONDS
        while self._entries:
            object_id, entry = next(iter(self._entries.items()))
            if entry.since > late:
                break
            del self._entries[object_id]
            if object_id in self._claims:
                self._set(object_id, entry)

    def _set(self, object_id: str, entry: _Entry) -> None:
        entry.since = self._clock()
        self._entries.pop(object_id, None)
        self._entries[object_id] = entry
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
