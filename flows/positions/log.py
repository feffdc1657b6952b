"""The log's file: lines of checksum and changes, each of them on disk before the next one begins.

The first line says which checkpoint the others change; to that of another one they are nothing. A last line
that was cut short by a crash, or of which a part never reached the disk (zeros), had not been relied on and
is left out. Anything else that is not as it was written is damage.
"""

import os
import pickle
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from isal import isal_zlib

from flows.positions.changes import Change
from flows.process.private_folder import open_own
from flows.process.recovery_store import sync

LOG = "positions.log"

_VERSION = 1
_NEVER_WRITTEN = b"\0"
_SMALL_BYTES = 512

Record = list[tuple[str, str, list[Change]]]
"""Changes of lanes, by step and key; all of one moment."""


class LogBrokenError(ValueError):
    """The log is not what was written; its text says where."""


class PositionLog:
    """The log that one process writes. size: bytes. Not thread-safe. Every failure is an OSError."""

    def __init__(self, file: int, size: int) -> None:
        self._file, self.size = file, size

    @classmethod
    def begin(cls, folder: Path, checkpoint: int) -> Self:
        """Put an empty log in the place of the last one. checkpoint: what it is about."""
        draft = folder / f"{LOG}.new"
        draft.unlink(missing_ok=True)
        log = cls(open_own(draft, os.O_WRONLY | os.O_APPEND), 0)
        log._append({"v": _VERSION, "checkpoint": checkpoint})
        draft.replace(folder / LOG)
        sync(folder)
        return log

    def append(self, record: Record) -> None:
        """Write changes, and return when they are on disk."""
        self._append(record)

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)

    def _append(self, content: Any) -> None:
        line = memoryview(_line(_packed(content)))
        self.size += len(line)
        while line:
            line = line[os.write(self._file, line) :]
        os.fdatasync(self._file)


def read(folder: Path, checkpoint: int) -> Sequence[Record]:
    """Return what was written since a checkpoint, if the log is of it. Raises LogBrokenError."""
    lines: list[Any] = []
    bad, size = b"", 0
    try:
        with (folder / LOG).open("rb") as file:
            for line in file:
                if bad:
                    raise LogBrokenError(f"at byte {size}")
                if line == _line(line[9:-1]):
                    lines.append(_unpacked(line[9:-1]))
                    size += len(line)
                else:
                    bad = line
    except FileNotFoundError:
        return []
    if bad and not _cut_short(bad):
        raise LogBrokenError(f"at byte {size}")
    about = lines[0] if lines else {}
    if about.get("v", _VERSION) != _VERSION:
        raise LogBrokenError(f"version {about['v']}, of a newer release")
    return lines[1:] if about.get("checkpoint") == checkpoint else []


def _cut_short(last: bytes) -> bool:
    """Tell a last line that was being written from one of which a byte has changed, its end for instance."""
    if _NEVER_WRITTEN in last:  # Base64 has none
        return True
    if last.endswith(b"\n"):
        return False
    return last[:-1] + b"\n" != _line(last[9:-1])


def _line(text: bytes) -> bytes:
    return b"%08x %s\n" % (crc32(text), text)


def _packed(content: Any) -> bytes:
    """Return content as text without line breaks. Pickled: positions hold bytes, and any name AWS has."""
    pickled = pickle.dumps(content)
    if len(pickled) > _SMALL_BYTES:
        pickled = isal_zlib.compress(pickled, 1)
    return b2a_base64(pickled, newline=False)


def _unpacked(text: bytes) -> Any:
    packed = a2b_base64(text)
    if packed[:1] != pickle.PROTO:
        packed = isal_zlib.decompressobj().decompress(packed)
    return pickle.loads(packed)  # noqa: S301 - ours, as its checksum tells
