"""What the tests of decoding share: bodies with short reads, and reading to the end or to the damage."""

import random
from collections.abc import Iterable

from sources.errors import ObjectBroken
from sources.objects.decode import DecodedChunk, DecodeLimits, Layout, read

LINES = Layout()
RECORDS = Layout(records="Records")


class Body:
    """A body whose reads are as short as `sizes` says, in turn; 0 or nothing = as asked."""

    def __init__(self, data: bytes, sizes: Iterable[int] = ()) -> None:
        self._data, self._sizes, self._at = data, list(sizes), 0
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        short = self._sizes.pop(0) if self._sizes else 0
        found = self._data[self._at : self._at + (min(short, size) or size)]
        self._at += len(found)
        return found


def decoded(
    data: bytes, layout: Layout = LINES, limits: DecodeLimits | None = None, sizes=()
) -> list[DecodedChunk]:
    """Return the pieces of an object, checked for what all pieces promise."""
    pieces = list(read(Body(data, sizes), layout, limits or DecodeLimits()))
    check(pieces)
    return pieces


def events(data: bytes, layout: Layout = LINES, limits: DecodeLimits | None = None) -> list[bytes]:
    """Return the events of an object."""
    return joined(decoded(data, layout, limits)).split(b"\n")[:-1]


def collect(data: bytes, layout: Layout = LINES, limits: DecodeLimits | None = None):
    """Return (events before the damage, the error or None)."""
    pieces: list[DecodedChunk] = []
    try:
        for piece in read(Body(data), layout, limits or DecodeLimits()):
            pieces.append(piece)  # noqa: PERF402 - the pieces before the error count
    except ObjectBroken as error:
        check(pieces)
        return joined(pieces).split(b"\n")[:-1], error
    return joined(pieces).split(b"\n")[:-1], None


def joined(pieces: Iterable[DecodedChunk]) -> bytes:
    """Return the events; damaged records are none."""
    return b"".join(piece.payload for piece in pieces if not piece.reason)


def damages(pieces: Iterable[DecodedChunk]) -> list[bytes]:
    """Return the damaged records."""
    return [piece.payload for piece in pieces if piece.reason]


def check(pieces: list[DecodedChunk]) -> None:
    done = 0
    for piece in pieces:
        done += piece.count
        assert piece.records == done
        if piece.reason:
            assert (piece.count, bool(piece.detail)) == (1, True)
            continue
        assert piece.count == piece.payload.count(b"\n") > 0
        assert piece.payload.endswith(b"\n")
        assert b"\n\n" not in piece.payload
        assert not piece.payload.startswith(b"\n")
        assert b"\0" not in piece.payload
        piece.payload.decode()


def noise(count: int, seed: int = 1) -> list[bytes]:
    """Return lines that do not compress well."""
    rng = random.Random(seed)
    return [
        b"%d %032x %032x" % (number, rng.getrandbits(128), rng.getrandbits(128)) for number in range(count)
    ]
