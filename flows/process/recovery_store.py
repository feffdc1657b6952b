"""The recovery directory: made whole or not at all, looked at before bytewax opens it, one line per failure.

What is in it is bytewax's: `part-N.sqlite3`, fixed in number when it is made; outside clusters a log lies
beside it (`flows/positions`). bytewax answers a file that it cannot use with a panic and a Rust backtrace;
here it is one line.
"""

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from bytewax.recovery import init_db_dir

from flows.config.load import SettingsError
from flows.process import ownership
from flows.process.private_folder import open_own, private_umask, require_private
from flows.process.sealed_state import SealBrokenError, look
from transforms.errors import CollectorError

PARTITIONS = 1
"""Fixed when a recovery directory is made. Process 0 writes them all, and each costs a sync of its own in an
epoch; directories of former releases have eight."""

FORMAT = 5
"""`user_version` of the files that this bytewax writes; a test compares."""

ROOM_BYTES = 1 << 20
"""What a start wants to find free; a state is some hundred kilobytes, and twice that while it is written."""

_WORTH_PAGES = 256
"""What is smaller is left as it is."""

_NEW, _WHOLE, _PROBE, _LOCK = ".new", "whole", ".probe", ".lock"
_INSTEAD = b"instead of all others"
_OURS = ("part-*.sqlite3*", "positions.log*", _NEW, _PROBE, _LOCK)
_KINDS = {"SQLITE_FULL": "DiskFull", "SQLITE_CORRUPT": "DatabaseCorrupt", "SQLITE_NOTADB": "NotADatabase"}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OWNED_HINT = "stop that one, or give this one another directory"
_DAMAGED_HINT = (
    "restore it from a copy, or remove the directory: queues go on where they are, "
    "API services begin anew at their start_time"
)


class StateError(CollectorError):
    """The recovery directory is full, damaged, incomplete, or another release wrote it. Exit 1."""


def prepare(directory: Path, *, first: bool) -> None:
    """Make the directory when it is missing, and see that it can be used and is this user's alone.

    first: of its cluster, this is the process whose directory has the files. Raises SettingsError,
    StateError, ForeignFolderError.
    """
    with private_umask():
        with _told(directory):
            if not directory.is_symlink():
                directory.mkdir(parents=True, exist_ok=True)
            require_private(directory, _OURS)
        _require_room(directory)
        if first:
            _make(directory)


def hold(directory: Path) -> None:
    """Keep the directory for this process until it ends. Raises StateError when another one has it."""
    try:
        with _told(directory):
            ownership.hold(directory / _LOCK, "the recovery directory is", _OWNED_HINT)
    except ownership.OwnedError as error:
        raise StateError(error.what, str(directory), error.hint) from None


def _make(directory: Path) -> None:
    """Make the files where there are none: aside, then moved in; a move that was cut short is finished."""
    aside = directory / _NEW
    with _told(directory):
        if not parts(directory) and not (aside / _WHOLE).exists():
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            init_db_dir(aside, PARTITIONS)
            (aside / _WHOLE).touch()
        _move_in(directory)


def replace_files(directory: Path, fill: Callable[[Path], None]) -> None:
    """Put one new file, made by `fill` of an empty one, into the place of all. Raises StateError.

    A crash leaves the old ones, or the new one, or what the next start makes the new one of.
    """
    aside = directory / _NEW
    with failed(directory):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        init_db_dir(aside, 1)
        for file in parts(aside):
            file.chmod(0o600)
            fill(file)
            sync(file)
        (aside / _WHOLE).write_bytes(_INSTEAD)
        sync(aside / _WHOLE)
        sync(aside)
        _move_in(directory)


def _move_in(directory: Path) -> None:
    """Move whole files from aside into their place; what was made aside by halves is taken away."""
    aside = directory / _NEW
    if (aside / _WHOLE).exists() and (made := sorted(parts(aside))):
        if (aside / _WHOLE).read_bytes() == _INSTEAD:
            for other in set(directory.glob("part-*.sqlite3*")) - {directory / file.name for file in made}:
                other.unlink()
        for file in made:
            file.replace(directory / file.name)
        sync(directory)
    if aside.exists():
        shutil.rmtree(aside)


def sync(path: Path) -> None:
    """Have a file, or what was made or renamed in a folder, on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _require_room(directory: Path) -> None:
    """See that this user can write there, and that there is room."""
    probe = directory / _PROBE
    with _told(directory):
        try:
            with os.fdopen(open_own(probe, os.O_WRONLY | os.O_TRUNC), "wb") as file:
                file.write(bytes(ROOM_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


def check(directory: Path | None, *, alone: bool) -> None:
    """Look at what is there as far as bytewax would stumble over it. Raises StateError, ForeignFolderError.

    alone: no other process has a part of it. A directory without files is left to bytewax.
    """
    if directory is None:
        return
    if directory.exists():
        with _told(directory):
            require_private(directory, _OURS)
    read = [_read(file) for file in sorted(parts(directory))]
    known = [part for part in read if part is not None]
    missing = {number for _, count in known for number in range(count)} - {index for index, _ in known}
    if missing and alone and len(known) == len(read):
        raise StateError(
            "the recovery directory is incomplete",
            str(directory / f"part-{min(missing)}.sqlite3"),
            _DAMAGED_HINT,
        )


def failure(error: BaseException, directory: Path | None) -> StateError | None:
    """Return what bytewax's error says about the recovery directory; None when it is about something else."""
    found = re.search(r"SqliteFailure\(Error \{ code: (\w+).*?\"(.*?)\"", str(error))
    if found is None or directory is None:
        return None
    return _unusable(directory, found[1], found[2])


@contextmanager
def failed(directory: Path) -> Iterator[None]:
    """Translate what disk and SQLite say about our own reading and writing there."""
    try:
        yield
    except OSError as error:
        kind = "DiskFull" if error.errno in _NO_ROOM else ""
        raise _unusable(directory, kind, str(error.strerror)) from error
    except sqlite3.Error as error:
        raise _unusable(directory, _KINDS.get(error.sqlite_errorname, ""), str(error)) from error
    except RuntimeError as error:  # init_db_dir's
        raise _unusable(directory, "", str(error)) from error


def _unusable(directory: Path, kind: str, why: str) -> StateError:
    """Return what rusqlite's kind of failure is here."""
    if kind == "DiskFull":
        return _full(directory, why)
    if kind in {"DatabaseCorrupt", "NotADatabase"}:
        return StateError(f"the recovery directory is damaged ({why})", str(directory), _DAMAGED_HINT)
    return StateError(
        f"the recovery directory cannot be written ({why})",
        str(directory),
        "see that the disk is well and has room, and start again; nothing was acknowledged",
    )


def parts(directory: Path) -> list[Path]:
    """Return the files that are bytewax's."""
    return list(directory.glob("part-*.sqlite3"))


def _read(file: Path) -> tuple[int, int] | None:
    """Return number and count of parts that stand in a file, None when another process has it locked."""
    if not file.stat().st_size:
        raise damaged(file, "empty")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=1)) as database:
            ask = _asking(database)
            if (version := ask("PRAGMA user_version")) > FORMAT:
                raise StateError(
                    f"a newer release wrote this state (format {version}, this one reads {FORMAT})",
                    str(file),
                    "start that release, or name another directory",
                )
            if (found := ask("PRAGMA quick_check(1)")) != "ok":
                raise damaged(file, str(found).splitlines()[-1])
            _look_at_snapshots(file, database)
            _compact(database, ask)
            return ask("SELECT part_index FROM parts"), ask("SELECT part_count FROM parts")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return None
        raise damaged(file, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise damaged(file, str(error)) from error


def _look_at_snapshots(file: Path, database: sqlite3.Connection) -> None:
    """See that each snapshot is what was written. Raises StateError."""
    rows = database.execute("SELECT step_id, state_key, ser_change FROM snaps WHERE ser_change IS NOT NULL")
    for step, key, kept in rows:
        try:
            look(str(step), str(key), kept)
        except SealBrokenError as error:
            raise damaged(file, f"snapshot of {step} {key}: {error}") from error


def _compact(database: sqlite3.Connection, ask: Callable[[str], Any]) -> None:
    """Give free pages back when they are more than half: SQLite never does so by itself.

    Done before bytewax opens the file, so that no epoch waits for it.
    """
    free, pages = ask("PRAGMA freelist_count"), ask("PRAGMA page_count")
    if free > pages / 2 and pages > _WORTH_PAGES:
        with suppress(sqlite3.OperationalError):  # no room, or in use: next time
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _asking(database: sqlite3.Connection) -> Callable[[str], Any]:
    def ask(question: str) -> Any:
        row = database.execute(question).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it does not say which part it is")
        return row[0]

    return ask


def damaged(file: Path, why: str) -> StateError:
    """Return the error for a file that is not as it was written."""
    return StateError(f"a recovery file is damaged ({why})", str(file), _DAMAGED_HINT)


def _full(directory: Path, why: str) -> StateError:
    return StateError(
        f"no room for the recovery directory ({why})",
        str(directory),
        f"make room, {ROOM_BYTES >> 20} MiB at least, and start again; nothing was acknowledged",
    )


@contextmanager
def _told(directory: Path) -> Iterator[None]:
    """Translate what the file system says; what was made aside is taken away again."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        shutil.rmtree(directory / _NEW, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise _full(directory, str(error.strerror)) from error
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"recovery directory cannot be used ({what})",
            str(directory),
            "make it writable for this user alone (chown, chmod 700), or name another one",
        ) from error
