"""Rows before deletions: what is receipted passes on to its end only when the journal has its rows.

Without a journal it passes at once. With one, a thread writes the rows of all that has come, and hands it on;
while the journal cannot be written it stays here (leases are kept alive by their manager meanwhile).
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec.structs import replace

from sources import telemetry
from sources.errors import SourceError
from sources.journal import Journal, JournalRow
from transforms.locks import Guard, guarded

T = TypeVar("T")

_PAUSE_SECONDS = (0.5, 30.0)

_LOCKS = (Guard("_changed", ("_waiting", "_writing", "_running", "_stopped")),)


@guarded(_LOCKS)
class JournalGate(Generic[T]):
    """Writes the rows of what comes, then hands it to `passed`. Thread-safe.

    rows_of: what the journal says of each; their time is added here.

    spawn: runs a job in a thread of that name, which is started when the first come.
    """

    def __init__(
        self,
        journal: Journal | None,
        service: str,
        spawn: Callable[[str, Callable[[], None]], None],
        rows_of: Callable[[T], Sequence[JournalRow]],
        passed: Callable[[Sequence[T]], None],
    ) -> None:
        self._journal, self._service = journal, service
        self._spawn, self._rows_of, self._passed = spawn, rows_of, passed
        self._changed = threading.Condition()
        self._waiting: list[T] = []
        self._writing = self._running = self._stopped = False

    @property
    def idle(self) -> bool:
        """Tell that all that came has passed."""
        with self._changed:
            return not self._waiting and not self._writing

    def take(self, found: Sequence[T]) -> None:
        """Take what is receipted; returns at once."""
        if self._journal is None:
            self._passed(found)
            return
        with self._changed:
            self._waiting += found
            begun, self._running = self._running, True
            self._changed.notify_all()
        if not begun:
            self._spawn("journal", self._run)

    def stop(self) -> None:
        """End the thread; what waits has not passed, and comes again."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _run(self) -> None:
        while found := self._next():
            now = int(time.time() * 1000)
            rows = [replace(row, time=now) for one in found for row in self._rows_of(one)]
            if not rows or self._written(rows):
                self._passed(found)
            with self._changed:
                self._writing = False

    def _next(self) -> list[T]:
        with self._changed:
            while not self._waiting and not self._stopped:
                self._changed.wait()
            found, self._waiting = ([] if self._stopped else self._waiting), []
            self._writing = bool(found)
        return found

    def _written(self, rows: Sequence[JournalRow]) -> bool:
        """Write rows, again and again while that fails; False when it is time to stop."""
        (pause, most), cause = _PAUSE_SECONDS, None
        while self._journal is not None:
            try:
                self._journal.write(rows)
            except SourceError as error:
                telemetry.journal_failed(self._service, error)
                cause = error.cause
            else:
                if cause is not None:
                    telemetry.journal_recovered(self._service, cause)
                return True
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, pause)
                if self._stopped:
                    break
            pause = min(pause * 2, most)
        return False
