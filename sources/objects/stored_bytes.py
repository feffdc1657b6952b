"""Stored bytes, taken a few at a time: a chunk may hold a hundred thousand members or frames."""

from collections.abc import Iterator

from sources.objects.decoded_chunk import broken


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
