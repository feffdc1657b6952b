"""Listed objects as a source: what lies in a bucket is collected as if it had been announced just now.

Parallel unit: one object, on one of a fixed number of lanes. Guarantee: at least once; a lane's position
moves with what it has emitted, and the recovery store keeps it once that is receipted. Resume: behind the
last record emitted, objects in the order of the list. Rows of the journal ride in the state until they are
written (`sources/journal_pending.py`). Cost: one GET an object.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec.structs import replace

from sources import lanes, metric_scopes
from sources.apis.poll import Page, pause_after
from sources.apis.poll_scheduler import PageInbox
from sources.errors import Throttled, Transient
from sources.journal_pending import RowKeeper
from sources.objects.object_ref import ObjectRef
from sources.queues.message_opener import ObjectBatch
from transforms.block import Flowing, Item

Opened = Callable[[ObjectRef, int], Iterator[ObjectBatch]]
"""(object, records of it that are done) → cuts behind them. Raises SourceError when it cannot be had."""

_ATTEMPTS = 8
_BATCH_BYTES = 1 << 20
_INBOX_BYTES = 4 << 20
_PAUSE = timedelta(milliseconds=20)


class BacklogSource(FixedPartitionedSource[Flowing, dict[str, Any]]):
    """Reads objects, dealt over the lanes by their place in the list, which must stay the same.

    finished: called with each object when all of it has been emitted, by this run or the one resumed.
    keeper: has each object's row written.
    """

    def __init__(
        self,
        service: str,
        objects: Sequence[ObjectRef],
        opened: Opened,
        drain: threading.Event,
        finished: Callable[[ObjectRef], None] = lambda _ref: None,
    ) -> None:
        self.keeper = RowKeeper(None, service)
        self.service, self.opened, self.drain, self.finished = service, opened, drain, finished
        self._objects = objects

    def list_parts(self) -> list[str]:
        """Return the lanes, the same for ever."""
        return list(lanes.keys())

    def build_part(self, _step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_BacklogLane":
        """Build a lane from its position: the next object, and how many of its records are done."""
        objects = self._objects[self.list_parts().index(for_part) :: lanes.LANES]
        position = resume_state or {"at": 0, "records": 0}  # and rows
        for ref in objects[: position["at"]]:
            self.finished(ref)
        return _BacklogLane(self, objects, position)


class _BacklogLane(StatefulSourcePartition[Flowing, dict[str, Any]]):
    """One thread reads ahead, in bounds; the dataflow takes what there is."""

    def __init__(self, source: BacklogSource, objects: Sequence[ObjectRef], position: dict[str, Any]) -> None:
        self._source, self._objects = source, objects
        self._position = {name: position[name] for name in ("at", "records")}
        self._rows = source.keeper.join(position)
        self._inbox = PageInbox(_INBOX_BYTES)
        self._closed = threading.Event()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    def next_batch(self) -> list[Item]:
        """Return what has been read; the end when all is emitted, or when the process drains.

        Raises what the reading thread could not go on from, once all before it is emitted.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name=self._source.service, daemon=True)
            self._thread.start()
        self._rows.confirm()
        if self._source.drain.is_set():
            raise StopIteration
        if self._rows.full:
            return []
        over = not self._thread.is_alive()  # before taking: what it has put is then all there
        items: list[Item] = []
        for _, page in self._inbox.take(_BATCH_BYTES):
            items += page.items
            if page.state["at"] > self._position["at"]:
                self._source.finished(self._objects[self._position["at"]])
            self._rows.note(page.state.pop("rows"))
            self._position = page.state
        if not items and over and not len(self._inbox):
            if self._failure:
                raise self._failure
            if self._rows.over():
                raise StopIteration
        metric_scopes.emitted(self._source.service, metric_scopes.NOBODY, [("", items)])
        return items

    def next_awake(self) -> datetime | None:
        """Return a moment soon when nothing waits."""
        return None if len(self._inbox) and not self._rows.full else datetime.now(UTC) + _PAUSE

    def snapshot(self) -> dict[str, Any]:
        """Return the position of what was emitted."""
        return {**self._position, **self._rows.seal()}

    def close(self) -> None:
        """Let the thread end."""
        self._closed.set()
        self._rows.close()

    def _read(self) -> None:
        at, done, failures = self._position["at"], self._position["records"], 0
        try:
            while at < len(self._objects) and not self._stopped():
                try:
                    for cut in self._source.opened(self._objects[at], done):
                        at, done = (at + 1, 0) if cut.last else (at, cut.records)
                        rows = [replace(cut.row, events=cut.row.records)] if cut.row else []
                        state = {"at": at, "records": done, "rows": rows}
                        if not self._inbox.put("", Page(cut.items, state), self._stopped):
                            return
                    failures = 0
                except (Transient, Throttled) as error:
                    failures += 1
                    if failures > _ATTEMPTS:
                        raise
                    self._closed.wait(pause_after(error, failures, 1.0, 0.0))
        except Exception as error:  # noqa: BLE001 - raised again by next_batch
            self._failure = error

    def _stopped(self) -> bool:
        return self._closed.is_set() or self._source.drain.is_set()
