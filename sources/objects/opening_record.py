"""Which objects were being read when the process died: one that ended it three times is not opened again.

Bounds on what an object may take are bounds on what we know of decoders. What gets past them ends the process
(out of memory, a fault in native code), its message comes again, and the next life dies of it too.

    openings-K    a file per process, locked by it: 256 slots of 16 bytes, one for each object being read
    deaths        16 bytes for each object that was being read when a process died

A slot is written while a piece of an object is being made, not while one waits for room: two writes of 16
bytes, without fsync, for a killed process leaves the page cache. It is a digest of the object and of how far
it had come: one that goes on from life to life is not the cause. Of those that were open at a death one at a
time is read, so that soon the guilty one is alone. An ordinary end of the interpreter, also by an error,
wipes the slots.
"""

import atexit
import fcntl
import os
import threading
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from sources.errors import ObjectBroken
from transforms.locks import Guard, guarded

T = TypeVar("T")

DEATHS = 3
_SIZE, _SLOTS = 16, 256
_FILES = 256
_MOST_DEATHS = 4096
_NONE = bytes(_SIZE)
_PATIENCE_SECONDS = 20.0
REASON = "object_deadly"

_LOCKS = (Guard("_lock", ("_free",)),)


@guarded(_LOCKS)
class OpeningRecord:
    """The record of one process, in a folder that outlives it. Thread-safe. Making it may raise OSError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file, died = _taken_over(folder)
        self._deaths = Counter(_counted(folder / "deaths", died))
        self._free = list(range(_SLOTS))
        self._lock = threading.RLock()
        self._alone = threading.Lock()
        atexit.register(self._wipe)

    def reading(self, object_id: str, done: int, where: str, pieces: Iterator[T]) -> Iterator[T]:
        """Yield an object's pieces, which begin with its record `done`; it is noted while each is made.

        Raises ObjectBroken when that has ended the process three times.
        """
        key = blake2b(f"{object_id} {done}".encode("utf-8", "surrogatepass"), digest_size=_SIZE).digest()
        died = self._deaths[key]
        if died >= DEATHS:
            hint = "look at it where it can do no harm; without memory a process ends without a word"
            raise ObjectBroken(f"reading it ended the process {died} times", where, hint, reason=REASON)
        alone = died > 0 and self._alone.acquire(timeout=_PATIENCE_SECONDS)
        with self._lock:
            slot = self._free.pop() if self._free else None
        try:
            while True:
                self._write(slot, key)
                piece = next(pieces, None)
                self._write(slot, _NONE)
                if piece is None:
                    return
                yield piece
        finally:
            self._write(slot, _NONE)
            with self._lock:
                self._free += [slot] if slot is not None else []
            if alone:
                self._alone.release()

    def _write(self, slot: int | None, key: bytes) -> None:
        if slot is not None and self._file >= 0:
            os.pwrite(self._file, key, slot * _SIZE)

    def _wipe(self) -> None:
        os.ftruncate(self._file, 0)


class NoRecord:
    """Stands for a record where nothing outlives the process."""

    @staticmethod
    def reading(_object_id: str, _done: int, _where: str, pieces: Iterator[T]) -> Iterator[T]:
        """Note nothing."""
        return pieces


@cache
def opening_record(folder: Path) -> OpeningRecord:
    """Return the record that this process keeps in a folder."""
    return OpeningRecord(folder)


def _taken_over(folder: Path) -> tuple[int, list[bytes]]:
    """Return a file that nobody else locks, emptied, and what is in all such files: their processes died."""
    own, died = -1, list[bytes]()
    for number in range(_FILES):
        path = folder / f"openings-{number}"
        if own >= 0 and not path.exists():
            break
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        content = os.pread(file, _SLOTS * _SIZE, 0)
        died += [key for key in _keys(content) if key != _NONE]
        os.ftruncate(file, 0)
        if own >= 0:
            os.close(file)
        else:
            own = file
    return own, died


def _counted(path: Path, died: list[bytes]) -> list[bytes]:
    """Add to the file of deaths; return the last of them all."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        content = os.pread(file, size, 0) if size <= 2 * _MOST_DEATHS * _SIZE else b""
        keys = [*_keys(content), *died][-_MOST_DEATHS:]
        if died:
            os.ftruncate(file, 0)
            os.pwrite(file, b"".join(keys), 0)
    finally:
        os.close(file)
    return keys


def _keys(content: bytes) -> list[bytes]:
    return [content[at : at + _SIZE] for at in range(0, len(content) - _SIZE + 1, _SIZE)]
