"""The part of an object that is in memory while its JSON is cut."""

from collections.abc import Iterator

from sources.errors import ObjectBroken
from sources.objects.decoded_chunk import broken
from sources.objects.text_repair import without_nul


class ChunkBuffer:
    """An object's chunks as one text: `data` is in memory, used up to `at`. NULs become U+FFFD."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self.data, self.at, self.ended = chunks, b"", 0, False
        self._passed, self._last = 0, b""
        self.failure: ObjectBroken | None = None

    def fill(self, size: int) -> None:
        """Read on until `size` bytes are ahead or the object ends."""
        held = len(self.data) - self.at
        if held >= size or self.ended:
            return
        parts = [self.data[self.at :]]
        while held < size and not self.ended:
            chunk = self._next()
            self.ended = not chunk
            parts.append(without_nul(chunk))
            held += len(parts[-1])
        self._passed, self._last = self._passed + self.at, self.before
        self.data, self.at = b"".join(parts), 0

    @property
    def before(self) -> bytes:
        """The byte before `at`; b"" at the beginning of the text."""
        return self.data[self.at - 1 : self.at] if self.at else self._last

    @property
    def position(self) -> int:
        """Where `at` is in the whole text, in bytes."""
        return self._passed + self.at

    def _next(self) -> bytes:
        """Return the next chunk; damage ends the object, but what came before it is used first."""
        try:
            return next(self._chunks, b"")
        except ObjectBroken as error:
            self.failure = error
            return b""

    def rest(self) -> Iterator[bytes]:
        """Yield the chunks that were not read yet; raises what damaged them."""
        if self.failure:
            raise self.failure
        yield from self._chunks

    def cut_short(self, what: str) -> ObjectBroken:
        """Return why the object ends before `what`."""
        return self.failure or broken("json_truncated", f"{what} has no end")
