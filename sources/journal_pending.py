"""Rows of what moves a position: part of a lane's state until the journal has them, so a crash loses none.

    noted ── snapshot ──▶ sealed ── next_batch ──▶ receipted, handed to the journal ──▶ written

A position counts once its epoch is receipted, and its snapshot is in the recovery store by then: rows in a
state that is resumed are receipted too. They are written at the start, unless the journal has them.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec.structs import replace

from sources.journal import Journal, JournalRow, digest
from sources.journal_gate import JournalGate
from sources.threads import Threads
from transforms.locks import Guard, guarded

MOST_ROWS = 1_000
"""Of a lane: while more wait for the journal, nothing more is emitted, as if an output were full."""

_LAST_SECONDS = 15.0
"""How long a drained lane waits for the journal; what is left is in its state."""

_LOCKS = (Guard("_lock", ("_handed",)),)
_KEEPER_LOCKS = (
    Guard("_lock", ("_lanes", "_gate")),
    Guard("_lock", ("left",), read_freely=True),
)


@guarded(_LOCKS)
class PendingRows:
    """The rows of one lane. Its worker owns it; `written` is the journal's thread's."""

    def __init__(self, keeper: "RowKeeper", state: Mapping[str, Any], ended: Iterable[JournalRow]) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()
        self._noted: list[JournalRow] = []
        self._sealed: list[JournalRow] = []
        self._over_at = 0.0
        former = [replace(row, resumed=row.resumed or not row.process) for row in _rows(state)]
        former += [replace(row, input=keeper.owner, resumed=True) for row in ended]
        self._former = keeper.journal.complete(former) if keeper.journal is not None else ()
        self._handed: deque[JournalRow] = deque(self._former)

    def note(self, rows: Iterable[JournalRow]) -> None:
        """Add rows of what was emitted, in the epoch that runs; without a journal they go nowhere."""
        if self._keeper.journal is not None:
            self._noted += [replace(row, input=self._keeper.owner) for row in rows]

    def seal(self) -> Mapping[str, Any]:
        """Note the end of the epoch (`snapshot`); return what the state has to hold, plain data."""
        self._sealed += self._noted
        self._noted = []
        with self._lock:
            waiting = [*self._handed, *self._sealed]
        return {"rows": msgspec.to_builtins(waiting)} if waiting else {}

    def confirm(self) -> None:
        """Note that `next_batch` was called: what was sealed is receipted. Never waits."""
        self._keeper.check()
        if self._former:
            self._keeper.take([(self, row, True) for row in self._former])
            self._former = ()
        if self._sealed and self._keeper.journal is not None:
            rows = self._keeper.journal.complete(self._sealed)
            self._sealed = []
            with self._lock:
                self._handed.extend(rows)
            self._keeper.take([(self, row, False) for row in rows])

    def written(self) -> None:
        """Note that the journal has the oldest row."""
        with self._lock:
            self._handed.popleft()

    @property
    def full(self) -> bool:
        """Tell that the journal is so far behind that nothing more may be emitted."""
        return self._waiting > MOST_ROWS

    def over(self) -> bool:
        """Tell a lane with nothing more to emit whether it may end: all is written, or that is overdue."""
        self._over_at = self._over_at or time.monotonic()
        return not self._waiting or time.monotonic() - self._over_at > _LAST_SECONDS

    def close(self) -> None:
        """Write no more; what is left is in the state."""
        self._keeper.leave(self._waiting)

    @property
    def _waiting(self) -> int:
        with self._lock:
            return len(self._handed) + len(self._sealed) + len(self._noted)


@guarded(_KEEPER_LOCKS)
class RowKeeper:
    """Hands the rows of all lanes of a source to the journal, in one thread. owner: the input.

    left: rows that lanes have ended with, in their states.
    """

    def __init__(self, journal: Journal | None, service: str, owner: str = "") -> None:
        self.journal, self.owner, self._service = journal, owner, service
        threads = Threads(service)
        self._spawn, self.check = threads.spawn, threads.check
        self._lock = threading.Lock()
        self._lanes = self.left = 0
        self._gate: JournalGate[_Handed] | None = None

    def join(self, state: Mapping[str, Any], ended: Iterable[JournalRow] = ()) -> PendingRows:
        """Serve a lane, from the rows in the state that it resumes. ended: more rows of receipted events."""
        with self._lock:
            self._lanes += 1
            self._gate = self._gate or JournalGate(
                self.journal, self._service, self._spawn, self._rows_of, _passed
            )
        return PendingRows(self, state, ended)

    def take(self, found: "Sequence[_Handed]") -> None:
        """Have rows written. Returns at once."""
        with self._lock:
            gate = self._gate
        if gate:
            gate.take(found)

    def leave(self, left: int) -> None:
        """Serve a lane no more; the last one ends the thread. left: its rows that are not written."""
        with self._lock:
            self._lanes, self.left = self._lanes - 1, self.left + left
            gate, self._gate = (None, self._gate) if self._lanes else (self._gate, None)
        if gate:
            gate.stop()

    def _rows_of(self, handed: "_Handed") -> Sequence[JournalRow]:
        _, row, former = handed
        return [] if former and digest(row.id) in self._recent else [row]

    @cached_property
    def _recent(self) -> frozenset[bytes]:
        return frozenset(self.journal.recent(self._service, self.owner) if self.journal is not None else ())


_Handed = tuple[PendingRows, JournalRow, bool]
"""Whose, which, and whether it is of a former life and may have been written by it."""


def _passed(handed: Sequence[_Handed]) -> None:
    for pending, _, _ in handed:
        pending.written()


def _rows(state: Mapping[str, Any]) -> list[JournalRow]:
    """Return the rows of a state. Raises nothing: one that cannot be read was another release's."""
    try:
        return msgspec.convert(state.get("rows", []), list[JournalRow])
    except msgspec.ValidationError:
        return []
