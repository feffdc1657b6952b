"""Checkpoint and log made one new checkpoint, in bytewax's format: any release, and a cluster, can resume it.

The checkpoint is a whole new `part-0.sqlite3`, moved into the place of what there was; then the log begins
anew. It has a number, in SQLite's `application_id`, that its log names: a log that was left behind by a crash
between the two changes nothing. Nor does one on whose checkpoint bytewax itself has run.
"""

import pickle
import secrets
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from flows.positions import log
from flows.positions.changes import applied
from flows.positions.log import LOG, LogBrokenError, PositionLog
from flows.process.recovery_store import damaged, failed, parts, replace_files
from flows.process.sealed_state import SealBrokenError, opened, seal

Place: TypeAlias = tuple[str, str]
"""Step and key of a lane."""

_FRONTIERS = """SELECT ex_num, worker_index, max(worker_frontier) FROM fronts GROUP BY ex_num, worker_index"""
_NEWEST = """SELECT step_id, state_key, max(snap_epoch), ser_change FROM snaps
    WHERE snap_epoch < ? GROUP BY step_id, state_key"""
_INSERT = "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, 1, ?)"
_FIRST_RUN = "INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (0, 1, 2)"
"""Epoch 0 is bytewax's own, so snapshots are of epoch 1, and the next run begins with 2."""


class Checkpoint(Struct):
    """What a directory holds. rows: pickled, as they lie there. number: 0 = bytewax has written it."""

    rows: dict[Place, bytes]
    number: int


def positions(folder: Path) -> dict[Place, Any]:
    """Return the positions of a directory, log included. Raises StateError."""
    found = _read(folder)
    changed = _changed(folder, found)
    rows = {place: row for place, row in found.rows.items() if place not in changed}
    return {place: _state(folder, place, row) for place, row in rows.items()} | changed


def changed(folder: Path) -> dict[Place, Any]:
    """Return those of which the log knows more than the checkpoint. Raises StateError."""
    return _changed(folder, _read(folder))


def fold(folder: Path) -> PositionLog:
    """Make one checkpoint of what is there, and begin a log. Its files are held by this process."""
    number = secrets.randbits(30) + 1
    _fold(folder, number)
    with failed(folder):
        return PositionLog.begin(folder, number)


def settle(folder: Path) -> None:
    """Leave a directory as bytewax has it: without a log. Its files are held by this process."""
    if (folder / LOG).exists():
        _fold(folder, 0)
        with failed(folder):
            (folder / LOG).unlink()


def _fold(folder: Path, number: int) -> None:
    found = _read(folder)
    rows = found.rows | {
        (step, key): pickle.dumps(seal(step, key, state))
        for (step, key), state in _changed(folder, found).items()
    }

    def fill(file: Path) -> None:
        """Leave it in WAL mode: of processes that begin together, all but one could not change that."""
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA synchronous = OFF")  # it is synced as a whole, before it is moved in
            with database:
                database.executemany(_INSERT, [(*place, row) for place, row in rows.items()])
                database.execute(_FIRST_RUN)
                database.execute(f"PRAGMA application_id = {number}")

    replace_files(folder, fill)


def _read(folder: Path) -> Checkpoint:
    """Return what bytewax would resume from: snapshots of epochs that all workers have completed."""
    with failed(folder):
        databases = [_opened(file) for file in sorted(parts(folder))]
        try:
            resume = _resume_epoch(databases)
            rows = {
                (step, key): row
                for database in databases
                for step, key, _, row in database.execute(_NEWEST, (resume,))
                if row is not None
            }
            ran = any(
                database.execute("SELECT 1 FROM exs WHERE ex_num > 0").fetchone() for database in databases
            )
            numbers = [database.execute("PRAGMA application_id").fetchone()[0] for database in databases]
        finally:
            for database in databases:
                database.close()
    return Checkpoint(rows, 0 if ran or len(numbers) != 1 else numbers[0])


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=10)


def _resume_epoch(databases: Iterable[sqlite3.Connection]) -> int:
    """Return the epoch that bytewax would begin with: the least that a worker of the last run has come to."""
    databases = list(databases)
    runs = [
        row for one in databases for row in one.execute("SELECT ex_num, worker_count, resume_epoch FROM exs")
    ]
    if not runs:
        return 1
    run, workers, resume = max(runs)
    frontiers = dict.fromkeys(range(workers), resume)
    for number, worker, frontier in (row for one in databases for row in one.execute(_FRONTIERS)):
        if number == run:
            frontiers[worker] = max(frontiers.get(worker, resume), frontier)
    return int(min(frontiers.values()))


def _changed(folder: Path, found: Checkpoint) -> dict[Place, Any]:
    states: dict[Place, Any] = {}
    if not found.number:
        return states
    try:
        for step, key, made in (lane for record in log.read(folder, found.number) for lane in record):
            place = step, key
            if place not in states:
                row = found.rows.get(place)
                states[place] = None if row is None else _state(folder, place, row)
            states[place] = applied(states[place], made)
    except (LogBrokenError, KeyError, TypeError, ValueError) as error:
        raise damaged(folder / LOG, str(error)) from error
    return states


def _state(folder: Path, place: Place, row: bytes) -> Any:
    try:
        return opened(*place, pickle.loads(row))  # noqa: S301 - this user's alone, as bytewax would do
    except SealBrokenError as error:
        raise damaged(folder, f"snapshot of {' '.join(place)}: {error}") from error
