"""The one partition class of the API family: AWS APIs that are read by position.

Parallel unit: one target (region, log group, detector), hashed onto one of eight fixed lanes.
Guarantee: at least once; a position is kept only by the snapshot of the epoch in which its events were
receipted, so there is nothing to settle upstream. Resume: each target from the state of its last page in
the last snapshot; without a recovery directory every start is the first one. Cost: the calls of its `Poll`,
once per period and target, and one listing of the targets per `discover_seconds` and process.

    fetch threads (poll_scheduler.py)  ── pages ──▶  inbox of a lane  ──▶  next_batch  ──▶  snapshot
    ahead of what is emitted                  bounded in bytes      never waits      what is emitted
"""

import threading
import time
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec import Struct

from sources import lanes, metric_scopes, telemetry
from sources.apis.poll import (
    SECOND_LOOK,
    Beginnings,
    Page,
    Poll,
    State,
    Target,
    done_of,
    final_of,
    known,
    seen_of,
)
from sources.apis.poll_scheduler import Pace, PollScheduler
from sources.aws.spending.budget import FREE, BudgetGate
from sources.collected import CollectedIds, CollectedNotes, CollectedRange
from sources.journal import Journal
from sources.journal_pending import RowKeeper
from sources.journal_windows import WindowRows
from transforms.block import Flowing, Item
from transforms.locks import Guard, guarded

__all__ = ["CursorOptions", "CursorSource", "Page", "Poll", "State", "Target", "known"]

_VERSION = 1
_BATCH_BYTES = 1 << 20
_DAY_MS = 86_400_000
_SOON = timedelta(milliseconds=20)


class CursorOptions(Struct, frozen=True):
    """What a service may choose.

    fingerprint: of the settings that positions depend on (`start_time`); another one resets the service's
        state, "" keeps it. durable: False when there is no recovery directory.
    threads: polls that run at once in this process. prefetch_bytes: pages that wait for the dataflow.
    discover_seconds: between listings of the targets. keep_gone_days: how long the state of a target that
        is no longer listed is kept. backoff_seconds: shortest pause after a failure. idle_seconds: longest
        sleep of a lane.
    owner: whom figures are counted for. collected: where ids are kept for a second look, None = nowhere.
    journal: has the rows of what was read. budget: may let polls wait.
    """

    fingerprint: str = ""
    durable: bool = True
    threads: int = 8
    prefetch_bytes: int = 48 << 20
    discover_seconds: float = 300
    keep_gone_days: float = 30
    backoff_seconds: float = 1
    idle_seconds: float = 0.2
    owner: metric_scopes.ScopeOwner = metric_scopes.NOBODY
    collected: CollectedIds | None = None
    journal: Journal | None = None
    budget: BudgetGate = FREE


_LOCKS = (Guard("_lock", ("_told",)),)


@guarded(_LOCKS)
class CursorSource(FixedPartitionedSource[Flowing, dict[str, Any]]):
    """Reads one API of one account. Shared by all workers of a process: they share threads and listings."""

    def __init__(self, poll: Poll, options: CursorOptions, drain: threading.Event) -> None:
        self.poll, self.options, self.drain = poll, options, drain
        pace = Pace(options.threads, options.discover_seconds, options.backoff_seconds, options.budget)
        self.feed = PollScheduler(poll, pace, options.prefetch_bytes // lanes.LANES, drain, options.owner)
        self.keeper = RowKeeper(options.journal, poll.name, options.owner.input)
        self._told: set[str] = set()
        self._lock = threading.RLock()

    def list_parts(self) -> list[str]:
        """Return the lanes, the same for ever."""
        return list(lanes.keys())

    def build_part(
        self,
        step_id: str,
        for_part: str,
        resume_state: dict[str, Any] | None,
    ) -> "_CursorLane":
        """Build a lane from its last snapshot, or anew when `start_time` has been changed."""
        if not self.options.durable and self._first("durable"):
            telemetry.cursors_not_durable(self.poll.name)
        resumed = self._usable(resume_state or {}, f"{step_id} {for_part}")
        return _CursorLane(for_part, self, resumed)

    def _usable(self, state: dict[str, Any], where: str) -> dict[str, Any]:
        known(state, where, _VERSION)
        if not state.get("targets") or self.options.fingerprint in {"", state["config"]}:
            return state  # no start_time any more: there is nothing to begin anew from
        if self._first("reset"):
            telemetry.cursors_reset(self.poll.name, state["config"], self.options.fingerprint)
        return {"journal": state.get("journal", {})}

    def _first(self, event: str) -> bool:
        with self._lock:
            fresh = event not in self._told
            self._told.add(event)
        return fresh


class _CursorLane(StatefulSourcePartition[Flowing, dict[str, Any]]):
    """Emits what was fetched for its targets; its state is what it has emitted."""

    def __init__(self, name: str, source: CursorSource, state: dict[str, Any]) -> None:
        self._name, self._feed, self._drain = name, source.feed, source.drain
        options = source.options
        self._fingerprint = options.fingerprint
        self._keep_ms = int(options.keep_gone_days * _DAY_MS)
        self.state: dict[str, State] = dict(state.get("targets", {}))
        self._gone: dict[str, int] = dict(state.get("gone", {}))
        self._listing = 0
        self._pause = _SOON
        self._idle = timedelta(seconds=options.idle_seconds)
        self._unsealed = False
        self._notes = CollectedNotes(options.collected) if options.collected else None
        for key, at in self.state.items():
            if options.collected and not key.endswith(SECOND_LOOK) and not options.collected.range(key):
                self._note_before(key, at)
        journal = state.get("journal", {})
        self._windows = WindowRows(source.poll.name, journal) if options.journal else None
        ended = self._windows.ended(self.state) if self._windows else ()  # all when `start_time` has changed
        self._rows = source.keeper.join(journal, ended)
        since = state.get("since", 0 if "v" in state else source.feed.born)  # old states do not say
        self._beginnings = Beginnings(since, state.get("unread", {}))
        self._inbox = source.feed.attach(name, self.state, self._begins)

    def next_batch(self) -> list[Item]:
        """Return what has arrived, at once; nothing more once the process drains.

        Being called after a snapshot means that its epoch is receipted, so draining ends here.
        """
        self._feed.check()
        self._rows.confirm()
        if self._drain.is_set():
            if self._unsealed or not self._rows.over():
                return []
            raise StopIteration
        self._keep_listed()
        if self._rows.full:
            return []
        arrived = self._inbox.take(_BATCH_BYTES)
        for key, page in arrived:
            before = self.state.get(key) or self._former(key)
            if self._windows:
                reach = _reach(before, page)
                self._windows.note(key, reach, page.items, [*page.ids.values()])
            if self._notes:
                second = key.endswith(SECOND_LOOK)
                found = None if second else _collected_range(before, page.state)
                self._notes.add(key.removesuffix(SECOND_LOOK), page.ids, found)
            self.state[key] = page.state
        self._unsealed = self._unsealed or bool(arrived)
        self._pause = _SOON if arrived else min(self._pause * 2, self._idle)
        items = [item for _, page in arrived for item in page.items]
        if arrived:
            self._feed.emitted(arrived)
        return items

    def _former(self, key: str) -> State | None:
        """Return the position of its former key that a target went on from, and keep its ids."""
        former = self._feed.begun.pop(key, None) or None
        if former and not key.endswith(SECOND_LOOK):
            self._note_before(key, former)
        return former

    def _note_before(self, key: str, state: State) -> None:
        """Keep the ids of a target that was read without their being kept, or under another key."""
        if self._notes:
            self._notes.add(key, *_read_before(state))

    def next_awake(self) -> datetime | None:
        """Return a moment soon: a lane that sleeps long holds every epoch of the process open."""
        return None if len(self._inbox) and not self._rows.full else lanes.awake_after(self._pause)

    def snapshot(self) -> dict[str, Any]:
        """Return the positions of everything emitted so far."""
        self._unsealed = False
        if self._notes and (error := self._notes.keep()):  # after a crash it is emitted and kept again
            telemetry.ids_not_kept(self._feed.name, error)
        unread = {key: ms for key, ms in self._beginnings.unread.items() if key not in self.state}
        told = {"gone": self._gone, "since": self._beginnings.since, "unread": unread}
        more: dict[str, Any] = {name: copy(value) for name, value in told.items() if value}
        if self._windows:
            self._rows.note(self._windows.rows())
            more["journal"] = {**self._rows.seal(), **self._windows.state()}
        return {"v": _VERSION, "config": self._fingerprint, "targets": dict(self.state), **more}

    def close(self) -> None:
        """Let the fetch threads end when this was the last lane."""
        self._feed.detach(self._name)
        self._rows.close()

    def _begins(self, key: str) -> int:
        """Return from when on a target without a position is read, as it is known now."""
        return self._beginnings.of(key)

    def _keep_listed(self) -> None:
        """After each listing: note which targets are gone, forget those gone for too long."""
        listing = self._feed.listing()
        if listing.number == self._listing:
            return
        self._listing, now = listing.number, int(time.time() * 1000)
        mine = [key for key in listing.keys if lanes.lane_of(key) == self._name]
        without = [key for key in mine if key not in self.state and not key.endswith(SECOND_LOOK)]
        since = self._beginnings.since or self._feed.since  # of an old state, once all lanes are there
        self._beginnings = Beginnings(since, self._beginnings.unread).after(listing, without)
        self._gone = {key: self._gone.get(key, now) for key in self.state if listing.gone(key)}
        for key in [key for key, since in self._gone.items() if now - since > self._keep_ms]:
            del self.state[key], self._gone[key]
            self._feed.forget(key)
            if self._windows:
                self._windows.forget(key)


def _reach(before: State | None, page: Page) -> tuple[int, int]:
    """Return up to where a target had been read before a page, and has been with it."""
    start = page.state.get("from", 0) if before is None else done_of(before)
    return start, page.upto or done_of(page.state)


def _read_before(state: State) -> tuple[dict[str, int], CollectedRange]:
    """Return the ids that a position has, and that nothing else is known of what was final by then."""
    return seen_of(state), CollectedRange(final_of(state), final_of(state))


def _collected_range(before: State | None, after: State) -> CollectedRange:
    """Return from when on the ids of a target are kept, if they are from now on, and what is final."""
    start = after.get("from", 0) if before is None else final_of(before)
    return CollectedRange(start, final_of(after))
