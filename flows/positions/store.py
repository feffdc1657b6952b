"""Which states of lanes are written to the log, and when.

    snapshot ──▶ sealed ── a lane is called for the next epoch: receipted ──▶ written, or it may wait

bytewax calls a lane for an epoch only when every lane has ended the last one and every output has its
receipt, so what all lanes sealed then is one moment's, and receipted. It is written before the lane itself is
called: what relies on a position (the journal's rows) finds it on disk.

What moves without events (a quiet log group was read up to a later minute) may wait for QUIET_SECONDS: a
start from the older position reads the same emptiness once more. What a step emits, and what it comes to know
for the first time, never waits; and what is written of a step is of all its lanes, as of one moment.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from msgspec import Struct

from flows.positions.changes import added, changes
from flows.positions.checkpoint import Place, fold, positions, settle
from flows.process.recovery_store import failed
from transforms.block import Flowing
from transforms.locks import Guard, guarded
from transforms.wrapped import Lane, WrappedLane, WrappedSource

QUIET_SECONDS = 300.0
"""How long a position that moved without events may be on disk as it was."""

_LONG_BYTES, _LONG_TIMES = 1 << 20, 4
"""A log is folded when it has so many bytes, and so many times those of its checkpoint."""

_OLD_SECONDS = 86_400.0
"""… or when it is a day old: an older release, after a kill, knows the checkpoint only."""


class _Known(Struct):
    """What is known of a lane. busy: it emitted something that is not written."""

    written: Any = None
    sealed: Any = None
    busy: bool = False


_LOCKS = (Guard("_lock", ("_known", "_sealed", "_due", "_log", "_long", "_old")),)


@guarded(_LOCKS)
class Positions:
    """The positions of one process, whose lanes may be on several threads. Raises StateError.

    folder: held by this process, and checked. Failures are the state's: the process ends, nothing was
    acknowledged.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._lock = threading.RLock()
        self._log = fold(folder)
        self._known = {place: _Known(state, state) for place, state in positions(folder).items()}
        self._sealed: int | None = None
        self._due = clock() + QUIET_SECONDS
        self._long, self._old = _long(folder), clock() + _OLD_SECONDS

    def source(self, source: FixedPartitionedSource[Flowing, Any]) -> WrappedSource:
        """Return the same source, whose lanes go on from here and are kept here."""
        return _KeptSource(source, self)

    def resumed(self, place: Place) -> Any:
        """Return what a lane goes on from; None = it begins."""
        with self._lock:
            return self._known.setdefault(place, _Known()).written

    def seal(self, place: Place, epoch: int, state: Any, *, busy: bool) -> None:
        """Note a lane's state at the end of an epoch. busy: it emitted something in it."""
        with self._lock:
            self.receipted(epoch)
            known = self._known[place]
            news = any(added(known.sealed, one) for one in changes(known.sealed, state))
            known.sealed, known.busy = state, known.busy or busy or news
            self._sealed = epoch

    def receipted(self, epoch: int) -> None:
        """Note that an epoch is running: those before it are receipted. Returns when that is on disk."""
        with self._lock:
            if self._sealed is not None and self._sealed < epoch:
                self._sealed = None
                self._write(everything=self._clock() >= self._due)

    def finish(self) -> None:
        """Note that the dataflow has ended well: all is receipted. Leaves the folder as bytewax has it."""
        with self._lock:
            self._write(everything=True)
            self._log.close()
            settle(self._folder)

    def _write(self, *, everything: bool) -> None:
        due = {step for (step, _), known in self._known.items() if known.busy}
        record = [
            (*place, made)
            for place, known in self._known.items()
            if everything or place[0] in due
            if (made := list(changes(known.written, known.sealed)))
        ]
        if everything:
            self._due = self._clock() + QUIET_SECONDS
        if record:
            with failed(self._folder):
                self._log.append(record)
        for (step, _), known in self._known.items():
            if everything or step in due:
                known.written, known.busy = known.sealed, False
        if self._log.size > self._long or self._clock() >= self._old:
            self._log.close()
            self._log = fold(self._folder)
            self._long, self._old = _long(self._folder), self._clock() + _OLD_SECONDS


class _KeptSource(WrappedSource):
    def __init__(self, source: FixedPartitionedSource[Flowing, Any], kept: Positions) -> None:
        super().__init__(source, lambda _name, lane: lane)
        self._kept = kept

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Lane:
        del resume_state  # bytewax has none
        place = step_id, for_part
        lane = super().build_part(step_id, for_part, self._kept.resumed(place))
        return _KeptLane(lane, place, self._kept)


class _KeptLane(WrappedLane):
    """Counts epochs from the start of the process, as all lanes do."""

    def __init__(self, lane: Lane, place: Place, kept: Positions) -> None:
        super().__init__(lane)
        self._place, self._kept = place, kept
        self._epoch, self._busy = 0, False

    def next_batch(self) -> Iterable[Flowing]:
        self._kept.receipted(self._epoch)
        batch = self.lane.next_batch()
        self._busy = self._busy or bool(batch)
        return batch

    def snapshot(self) -> None:
        self._kept.seal(self._place, self._epoch, self.lane.snapshot(), busy=self._busy)
        self._epoch, self._busy = self._epoch + 1, False


def _long(folder: Path) -> int:
    return max(_LONG_BYTES, _LONG_TIMES * (folder / "part-0.sqlite3").stat().st_size)
