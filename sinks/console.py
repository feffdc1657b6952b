"""Local outputs: standard output and a file, with exactly the bytes that would go over the wire."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from sinks import telemetry
from sinks.connection import Buffer, ReceiptStrength
from sinks.errors import ReaderGone, file_error
from sinks.frame import Framer
from transforms.block import Block

_STDOUT = threading.Lock()
"""Blocks of several partitions never mix on standard output."""


def standard_output() -> BinaryIO:
    """Return the standard output of this moment."""
    return sys.stdout.buffer


class ConsoleOutput:
    """Standard output."""

    strength = ReceiptStrength.WRITTEN

    def __init__(self, name: str, framer: Framer, stream: Callable[[], BinaryIO] = standard_output) -> None:
        self.name = name
        self._framer, self._stream = framer, stream
        self._events = 0

    def write(self, block: Block) -> None:
        """Print a block. Raises ReaderGone."""
        with _STDOUT:
            self._try(lambda stream: [stream.write(part) for part in self._framer(block)])
        self._events += block.count
        telemetry.block_written(self.name, block.count, len(block.payload))

    def begin(self) -> None:
        """Do nothing: `finish` flushes."""

    def finish(self) -> ReceiptStrength:
        """Flush. Raises ReaderGone."""
        started = monotonic()
        with _STDOUT:
            self._try(lambda stream: stream.flush())
        self._events = _written(self.name, self._events, started)
        return self.strength

    def close(self) -> None:
        """Do nothing: standard output is not ours to close."""

    def _try(self, step: Callable[[BinaryIO], object]) -> None:
        stream = self._stream()
        try:
            step(stream)
        except BrokenPipeError as error:
            _discard(stream)
            hint = "what was not read counts as not delivered"
            raise ReaderGone("the reader of standard output has gone", f"output {self.name}", hint) from error
        except OSError as error:
            raise file_error(error, f"output {self.name}") from error


class FileOutput:
    """A file that is appended to, and on disk when the receipt is taken."""

    strength = ReceiptStrength.WRITTEN

    def __init__(self, name: str, framer: Framer, path: Path) -> None:
        self.name = name
        self._framer, self._path = framer, path
        self._file: int | None = None
        self._events = 0

    def write(self, block: Block) -> None:
        """Append a block. Raises OutputBroken."""
        try:
            self._file = self._open() if self._file is None else self._file
            for part in self._framer(block):
                _write_all(self._file, part)
        except OSError as error:
            raise file_error(error, str(self._path)) from error
        self._events += block.count
        telemetry.block_written(self.name, block.count, len(block.payload))

    def begin(self) -> None:
        """Do nothing: `finish` waits for the disk."""

    def finish(self) -> ReceiptStrength:
        """Wait until the disk has everything. Raises OutputBroken."""
        started = monotonic()
        try:
            if self._file is not None:
                os.fsync(self._file)
        except OSError as error:
            raise file_error(error, str(self._path)) from error
        self._events = _written(self.name, self._events, started)
        return self.strength

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            _write_all(file, b"\n")  # a crash left half a line: ours must not be glued to it
        sync_folder(self._path.parent)
        return file


def sync_folder(folder: Path) -> None:
    """Make sure that a folder's entries survive a power cut. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _written(output: str, events: int, started: float) -> int:
    """Tell that events are written, if there were any, and return how many are left: none."""
    if events:
        telemetry.receipt_taken(output, ReceiptStrength.WRITTEN, events, monotonic() - started)
    return 0


def _write_all(file: int, part: Buffer) -> None:
    view = memoryview(part)
    while view:
        view = view[os.write(file, view) :]


def _discard(stream: BinaryIO) -> None:
    """Let the interpreter's last flush go nowhere, else it complains about the same pipe again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
