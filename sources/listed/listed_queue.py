"""A bucket's listing in the form of a queue: what it shows is received, kept alive and deleted like messages.

    listing ──▶ found, not known ──▶ receive ──▶ opened, emitted, receipted, journaled ──▶ delete ──▶ position

So the lease family does all the rest: objects are fetched side by side, one in trouble is given back and
holds up no other, large ones wait for their turn. Deleted means: noted in the position (listing_position.py),
which a lane keeps in its snapshots. What is found and not deleted is bounded; while it is many, nothing more
is listed.

IAM: s3:ListBucket. Cost: one ListObjectsV2 for each folder that may hold something new, and for each further
thousand of its keys, every so many seconds.
"""

import heapq
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from msgspec import Struct

from sources import metric_scopes
from sources.apis.window import now_ms
from sources.aws.account import Account
from sources.errors import ReceiptHandleInvalid, SourceError
from sources.lanes import lane_of
from sources.listed import telemetry
from sources.listed.listing import LIST_ACTION, ListedPrefix, ListingCalls, pages
from sources.listed.listing_position import MOST_IDS, ListedObject, ListingPosition, listed_object
from sources.queues.sqs import LOT, Message
from transforms.locks import Guard, guarded

__all__ = ["LIST_ACTION", "BucketListing", "ListedQueue"]

_MOST_OPEN = 10_000
"""Objects that were found and are not settled; the next page comes when there are fewer."""

_WAKE_INTERVAL_SECONDS = 0.2
_LOCKS = (Guard("_changed", ("_position", "_open", "_visible", "_listing", "_due", "_pass")),)


class BucketListing(Struct, frozen=True):
    """What to list, and how. region: the bucket's. start_ms: None = from the first start on.

    late_seconds: how long after the time that it says, or was written at, a key may appear.
    """

    account: Account
    region: str
    bucket: str
    prefix: str = ""
    every_seconds: float = 300
    late_seconds: float = 86_400
    start_ms: int | None = None
    requester_pays: bool = False

    @property
    def short(self) -> str:
        """For origins and labels."""
        return f"{self.bucket}/{self.prefix}"

    @property
    def where(self) -> str:
        """For messages: what is listed, by whom."""
        return f"listing of s3://{self.short} ({self.account.where})"

    @property
    def lane(self) -> str:
        """The lane that keeps its position."""
        return lane_of(self.short)


class _Open(Struct):
    """An object that was found. due: when it is visible again, `time.monotonic()`."""

    found: ListedObject
    due: float
    receives: int = 0


class _Pass(Struct):
    """A listing under way. began: epoch ms, and seconds of `time.monotonic()`."""

    pages: Iterator[list[dict[str, Any]]]
    asked: ListingCalls
    began: int
    started: float
    objects: int = 0
    new: int = 0


@guarded(_LOCKS)
class ListedQueue:
    """A `MessageQueue` of one listing. Thread-safe; one thread lists at a time.

    Nothing is listed before `load`: in a cluster, one process has the position.
    """

    receive_is_call = False

    def __init__(
        self,
        service: str,
        queue: BucketListing,
        drain: threading.Event,
        owner: metric_scopes.ScopeOwner = metric_scopes.NOBODY,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.queue, self._service, self._drain, self._clock = queue, service, drain, clock
        self._scope = metric_scopes.place(service, owner, queue.region)
        self._numbers = count(1)
        self._changed = threading.Condition()
        self._position: ListingPosition | None = None
        self._open: dict[str, _Open] = {}
        self._visible: list[tuple[float, str]] = []
        self._listing = False
        self._due = 0.0
        self._pass: _Pass | None = None
        self._years: dict[str, bool] = {}

    # the position's side

    def load(self, state: dict[str, Any] | None) -> None:
        """Begin from a position; anew without one, or when another start is asked for."""
        queue = self.queue
        start = self._clock() if queue.start_ms is None else queue.start_ms
        position = ListingPosition(start, int(queue.late_seconds * 1000))
        left: list[ListedObject] = []
        if state and queue.start_ms in {None, state.get("asked")}:
            left = position.restore(state, queue.where)
        with self._changed:
            self._position = position
            for one in left:
                self._show(one)
            self._changed.notify_all()

    def state(self) -> dict[str, Any] | None:
        """Return the position as a snapshot keeps it: of what is settled."""
        with self._changed:
            found = (one.found for one in self._open.values())
            return self._position.state(found) if self._position else None

    # the queue's side

    def receive(self, wait_seconds: float, visibility_seconds: float, most: int = LOT) -> list[Message]:
        """Return up to `most` objects as messages, waiting up to `wait_seconds` for the first.

        Raises SourceError when it cannot be listed; the next call begins the listing anew.
        """
        until = time.monotonic() + wait_seconds
        while not (messages := self._take(visibility_seconds, most)):
            if self._begins_listing():
                self._list_page()
                if time.monotonic() >= until:
                    return self._take(visibility_seconds, most)
            elif not self._rest(until):
                break
        return messages

    def delete(self, receipt_handles: Sequence[str]) -> list[SourceError | None]:
        """Note that objects are done."""
        with self._changed:
            return [self._settle(handle) for handle in receipt_handles]

    def change(self, receipt_handles: Sequence[str], seconds: Sequence[float]) -> list[SourceError | None]:
        """Let objects be visible again after so many seconds from now, each its own."""
        outcomes: list[SourceError | None] = []
        with self._changed:
            for handle, after in zip(receipt_handles, seconds, strict=True):
                one = self._open.get(handle)
                outcomes.append(None if one else self._unknown())
                if one:
                    self._hide(handle, one, after)
            self._changed.notify_all()
        return outcomes

    def _settle(self, handle: str) -> SourceError | None:
        one = self._open.pop(handle, None)
        if one is None or self._position is None:
            return self._unknown()
        self._position.settle(one.found)
        if len(self._open) == _MOST_OPEN - 1:
            self._changed.notify_all()
        return None

    def _unknown(self) -> SourceError:
        return ReceiptHandleInvalid("it is done already", self.queue.where, "nothing needs to be done")

    def _take(self, visibility_seconds: float, most: int) -> list[Message]:
        messages: list[Message] = []
        with self._changed:
            now = time.monotonic()
            while self._visible and self._visible[0][0] <= now and len(messages) < most:
                due, handle = heapq.heappop(self._visible)
                one = self._open.get(handle)
                if one is None or one.due != due:
                    continue  # it is done, or was hidden for longer since
                one.receives += 1
                self._hide(handle, one, visibility_seconds)
                messages.append(self._message(handle, one))
        return messages

    def _message(self, handle: str, one: _Open) -> Message:
        """Return what announces an object, as EventBridge's detail does: with its key as it is."""
        found = one.found
        named = {"key": found.key, "size": found.size, "etag": found.etag}
        body = json.dumps({"bucket": {"name": self.queue.bucket}, "object": named, "reason": "PutObject"})
        place = self.queue
        return Message(
            handle, handle, body, one.receives, found.written, queue=place.short, region=place.region
        )

    def _hide(self, handle: str, one: _Open, seconds: float) -> None:
        one.due = time.monotonic() + seconds
        heapq.heappush(self._visible, (one.due, handle))

    def _show(self, found: ListedObject) -> None:
        handle = found.digest.hex()
        if handle not in self._open:
            one = self._open[handle] = _Open(found, 0.0)
            heapq.heappush(self._visible, (one.due, handle))

    def _rest(self, until: float) -> bool:
        """Wait for something to happen; False when it is time to return."""
        with self._changed:
            now = time.monotonic()
            if now >= until or self._drain.is_set():
                return False
            self._changed.wait(min(until - now, _WAKE_INTERVAL_SECONDS))
        return True

    # the listing

    def _begins_listing(self) -> bool:
        """Tell whether the caller is to list the next page."""
        with self._changed:
            if self._position is None or self._listing or self._drain.is_set():
                return False
            ready = self._pass is not None or time.monotonic() >= self._due
            self._listing = ready and len(self._open) < _MOST_OPEN
            return self._listing

    def _list_page(self) -> None:
        try:
            with self._changed:
                running = self._pass = self._pass or self._begin()
            metric_scopes.asked(self._scope)
            page = next(running.pages, None)
            with self._changed:
                self._found(running, page) if page is not None else self._end(running)
        except BaseException:
            with self._changed:
                self._pass = None
            raise
        finally:
            with self._changed:
                self._listing = False
                self._changed.notify_all()

    def _begin(self) -> _Pass:
        position, now = self._position, self._clock()
        assert position  # noqa: S101 - `_begins_listing` has seen it
        if position.full:
            raise SourceError(
                f"more than {MOST_IDS:,} objects may still be followed by late ones",
                self.queue.where,
                "set a shorter late_seconds, or a narrower prefix; nothing is listed until then",
            )
        more = {"RequestPayer": "requester"} if self.queue.requester_pays else {}
        wanted = ListedPrefix(self.queue.bucket, self.queue.prefix, more, self._years)
        client, asked = self.queue.account.client("s3", self.queue.region), ListingCalls()
        found = pages(client, wanted, lambda folder: position.enters(folder, now), asked)
        return _Pass(found, asked, now, time.monotonic())

    def _found(self, running: _Pass, page: list[dict[str, Any]]) -> None:
        before, position = len(self._open), self._position
        for entry in page:
            if entry["Key"].endswith("/") and not entry["Size"]:
                continue  # what consoles make for a folder
            one = listed_object(entry)
            if position and position.wants(one, running.began):
                self._show(one)
        running.objects += len(page)
        running.new += len(self._open) - before

    def _end(self, running: _Pass) -> None:
        behind = self._position is not None and self._position.listed(running.began)
        self._pass = None
        self._due = 0.0 if behind else running.started + self.queue.every_seconds
        seconds = time.monotonic() - running.started
        counts = telemetry.ListingCounts(running.asked.requests, running.objects, running.new)
        telemetry.listing_done(self._service, self.queue.where, counts, seconds)
