"""Stored bytes: taken a few at a time, or held as a whole. A chunk may hold a hundred thousand frames."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from sources.objects.decoded_chunk import Budget, broken, no_room, too_large

IN_MEMORY = 8 << 20
"""Bytes of an object that are held in memory; more go to a temporary file without a name."""


@contextmanager
def spooled(chunks: Iterable[bytes], budget: Budget) -> Iterator[IO[bytes]]:
    """Hold an object as a whole. Raises ObjectTooLarge, and Transient when the temporary folder is full."""
    room, held = budget.limits.room, 0
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        try:
            for chunk in chunks:
                size = file.tell() + len(chunk)
                budget.spool(size)
                if size > IN_MEMORY:
                    if room.never(size):
                        raise too_large(f"more than {size - len(chunk)} bytes stored", "spool_max_bytes")
                    room.take(size - held)
                    held = size
                try:
                    file.write(chunk)
                except OSError as error:
                    raise no_room(str(error)) from error
            file.seek(0)
            yield file
        finally:
            room.give(held)


def led(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a chunk and the others; it is not held meanwhile, as `itertools.chain` would."""
    yield first
    del first
    yield from rest


class StoredBytes:
    """The chunks of an object as they are stored. failure: what was raised when they were read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._chunk, self._at = chunks, b"", 0
        self.failure: Exception | None = None

    def take(self, size: int) -> bytes:
        """Return the next bytes, up to `size`, less at a chunk's end; b"" is the end of all."""
        if self._at == len(self._chunk):
            try:
                self._chunk, self._at = next(self._chunks, b""), 0
            except Exception as error:
                self.failure = error
                raise
        found = self._chunk[self._at : self._at + size]
        self._at += len(found)
        return found

    def exactly(self, size: int, reason: str) -> bytes:
        """Return the next `size` bytes, b"" at the end. Raises ObjectBroken when the end is within them."""
        held = self.take(size)
        while held and len(held) < size:
            more = self.take(size - len(held))
            if not more:
                raise broken(reason, "compressed data has no end", "look at the object in its bucket")
            held += more
        return held

    def back(self, count: int) -> None:
        """Give back the last bytes of what was taken last."""
        self._at -= count
