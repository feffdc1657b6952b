"""The log of one process: rows appended and synced before what they stand for is deleted.

    length (4 bytes, little endian) · CRC-32 (4 bytes) · MessagePack array of rows

A crash may leave a torn entry at the end: its rows were never promised to anybody, so reading stops there. A
write that fails half way is taken back, so that what follows it can be read.
"""

import errno
import fcntl
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from sources.errors import SourceError
from sources.journal import JournalRow
from transforms.locks import Guard, guarded

LOGS = "log"
"""The folder of the logs, within the journal's."""

HOUR_SECONDS = 3600
FULLEST_BYTES = 64 << 20
"""A log that has grown to this is closed before its hour is over."""

_HEAD = struct.Struct("<II")
_ENTRY_BYTES = 64 << 20
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[JournalRow])
_NAME = re.compile(r"(?P<millis>\d{13})-(?P<process>[A-Za-z0-9_.-]+)\.log")

_LOCKS = (Guard("_changed", ("_file", "_path", "_hour", "_safe", "_batch", "_syncing")),)


class _Batch:
    """What is synced together. error: why none of it is kept."""

    done = False
    error: SourceError | None = None


@guarded(_LOCKS)
class JournalLog:
    """Appends to logs in `folder`, one for each hour. Thread-safe: who writes together is synced together.

    process: a name of this process that no other writer has. closed: called with each file that is complete.
    put: keeps entries of the log of a name elsewhere, too, before they count as written. Raises SourceError.
    """

    def __init__(
        self,
        folder: Path,
        process: str,
        closed: Callable[[Path], None] = lambda _path: None,
        clock: Callable[[], float] = time.time,
        put: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._folder, self._process, self._closed, self._clock = folder, process, closed, clock
        self._put = put
        self._changed = threading.Condition()
        self._file = -1
        self._path = folder
        self._hour = -1
        self._safe = 0  # bytes of the file that are synced
        self._batch = _Batch()
        self._syncing = False

    def write(self, rows: Sequence[JournalRow]) -> None:
        """Append rows; return once they are on disk. Raises SourceError when they are not."""
        entry = encoded(rows)
        with self._changed:
            try:
                self._turn()
                self._append(entry)
                batch = self._batch
                while not batch.done:
                    self._step()
            except OSError as error:
                raise _failed(error, self._path) from error
            if batch.error:
                raise batch.error.again()

    def turn(self) -> None:
        """Close the file when its hour is over, though nothing may be written for long."""
        with self._changed:
            if self._file >= 0 and int(self._clock()) // HOUR_SECONDS != self._hour:
                self._end()

    def close(self) -> None:
        """Close the file of the running hour: what is written later begins another one."""
        with self._changed:
            self._end()

    def _turn(self) -> None:
        """Begin a new file when the hour is over or the file is full."""
        hour = int(self._clock()) // HOUR_SECONDS
        if self._file >= 0 and hour == self._hour and os.fstat(self._file).st_size < FULLEST_BYTES:
            return
        self._end()
        self._hour = hour
        self._path = self._folder / f"{int(self._clock() * 1000):013d}-{self._process}.log"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        try:
            self._safe = os.fstat(self._file).st_size
            fcntl.flock(self._file, fcntl.LOCK_EX)  # who compacts sees that it is being written
            _sync_folder(self._folder)
        except OSError:
            self._leave()
            raise

    def _append(self, entry: bytes) -> None:
        size = os.fstat(self._file).st_size
        if os.write(self._file, entry) != len(entry):
            failed = _failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self._path)
            self._cut(size, failed)
            raise failed

    def _step(self) -> None:
        """Wait for who syncs, or do it."""
        if self._syncing:
            self._changed.wait()
        else:
            self._sync()

    def _sync(self) -> None:
        """Sync for all who have written so far, without the lock: others may append meanwhile.

        After a failed sync the kernel may call the same pages clean: nothing in that file is believed, and
        the next row begins another one. What `put` refuses is taken back, with what was appended meanwhile.
        """
        file, path, safe = self._file, self._path, self._safe
        size = os.fstat(file).st_size
        batch, self._batch = self._batch, _Batch()
        self._syncing = True
        self._changed.release()
        torn = True
        failed: SourceError | None = _failed(OSError(errno.EIO, "a sync failed"), path)
        try:
            os.fsync(file)
            torn = False
            if self._put:
                self._put(path.stem, os.pread(file, size - safe, safe))
            failed = None
        except OSError as error:
            torn, failed = True, _failed(error, path)
        except SourceError as error:
            failed = error
        finally:
            self._changed.acquire()
            self._syncing = False
            batch.done, batch.error = True, failed
            if self._file != file:  # it was left meanwhile
                _close(file)
            elif failed is None:
                self._safe = size
            elif torn:
                self._leave(failed)
            else:
                self._refuse(failed)
                self._cut(safe, failed)
            self._changed.notify_all()

    def _refuse(self, failed: SourceError) -> None:
        """Refuse what was appended since the last sync."""
        late, self._batch = self._batch, _Batch()
        late.done, late.error = True, failed
        self._changed.notify_all()

    def _cut(self, size: int, failed: SourceError) -> None:
        """Take back what is behind `size`; a file that cannot be cut is left: nothing behind it is read."""
        try:
            os.ftruncate(self._file, size)
        except OSError:
            self._leave(failed)

    def _leave(self, failed: SourceError | None = None) -> None:
        """Write no more to the file; who syncs it closes it. failed: why what is not synced is refused."""
        if failed:
            self._refuse(failed)
        file, self._file = self._file, -1
        if not self._syncing:
            _close(file)

    def _end(self) -> None:
        while self._syncing or (self._file >= 0 and self._safe < os.fstat(self._file).st_size):
            self._step()
        if self._file >= 0:
            self._leave()
            self._closed(self._path)


def encoded(rows: Sequence[JournalRow]) -> bytes:
    """Return one entry."""
    body = _ENCODER.encode(list(rows))
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def read(path: Path) -> Iterator[JournalRow]:
    """Yield the rows of a log; it ends before the first entry that is torn."""
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            size, crc = _HEAD.unpack(head)
            body = file.read(size) if size <= _ENTRY_BYTES else b""
            if len(body) != size or zlib.crc32(body) != crc:
                return
            yield from _DECODER.decode(body)


def logs(folder: Path) -> list[Path]:
    """Return the logs of a folder, oldest first."""
    return sorted(path for path in folder.glob("*.log") if _NAME.fullmatch(path.name))


def begun(stem: str) -> float:
    """Return when the log of that name was begun, in epoch seconds; 0 for another name."""
    found = _NAME.fullmatch(f"{stem}.log")
    return int(found["millis"]) / 1000 if found else 0.0


def is_open(path: Path) -> bool:
    """Tell whether a process of this machine writes to a log."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _close(file: int) -> None:
    """Close a file of which nothing more is wanted: what counts of it is synced."""
    with suppress(OSError):
        os.close(file)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _failed(error: OSError, path: Path) -> SourceError:
    hint = "make room or make it writable; nothing is deleted from AWS meanwhile"
    what = f"the journal cannot be written ({error.strerror or error})"
    return SourceError(what, str(path), hint, cause=f"journal {path.parent}")
