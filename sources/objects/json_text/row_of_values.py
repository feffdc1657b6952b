"""What an object's values are like, when the first of them is damaged: the others tell.

Certain is what goes on to the end of what holds it, since whatever is within a value ends before that: the
records of an array up to the end of its document; values with nothing between them up to the end of the text.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sources.objects.json_text import scanner
from sources.objects.json_text.resync import first_key, is_similar

_BRACE: Final = re.compile(rb"\{")
_SPACE: Final = re.compile(rb"(?:\s|\xef\xbb\xbf)*+")
_LOOKED_AT = 16 << 20
_CERTAIN = 3
"""So many values alike, with nothing between them, are no part of another one."""


class View(Struct, frozen=True):
    """A text that is damaged at `start`. ended: nothing follows data. full: no more is looked at."""

    data: bytes
    start: int
    ended: bool
    full: bool


def like_records(view: View, *, braced: bool) -> bytes | None:
    """Return a record of the array that goes on behind the damage; b"" = none is; None = with more data.

    braced: the array is within an object.
    """

    def ends(found: scanner.ScanResult) -> bool | None:
        if found.state == scanner.OPEN:
            return len(found.raws) >= _CERTAIN if view.full and not view.ended else _unknown(view)
        if found.state == scanner.BROKEN:
            return False
        end = scanner.end_of(view.data, found.end, depth=1) if braced else found.end
        if end < 0:
            return _unknown(view)
        rest = view.data[_past(view.data, end) :][:1]
        return rest in (b"{", b"[") if rest else True if view.ended else _unknown(view)

    return _first(view, scanner.SPACE, ends)


def like_values(view: View) -> bytes | None:
    """Return a value of the row that goes on behind the damage; b"" = none is; None = with more data."""
    key = first_key(view.data, view.start)

    def ends(found: scanner.ScanResult) -> bool | None:
        alike = all(is_similar(one, found.raws[0]) for one in found.raws[1:_CERTAIN])
        if len(found.raws) >= _CERTAIN or not found.raws or not alike:
            return alike and bool(found.raws)
        if _past(view.data, found.end) < len(view.data) or not view.ended:
            return _unknown(view) if found.state == scanner.OPEN else False
        return len(found.raws) > 1 or (key != b"" and first_key(found.raws[0]) == key)

    return _first(view, _SPACE, ends)


def _unknown(view: View) -> bool | None:
    return False if view.ended or view.full else None


def _first(
    view: View, between: "re.Pattern[bytes]", ends: Callable[[scanner.ScanResult], bool | None]
) -> bytes | None:
    """Return the first object of the first row of which `ends` says yes; each place is looked at once."""
    at, left, unknown = view.start + 1, _LOOKED_AT, False
    while left > 0 and (found := _BRACE.search(view.data, at)):
        row = scanner.elements(view.data, found.start(), between)
        certain = ends(row) if row.raws else False
        if certain:
            return row.raws[0]
        unknown |= certain is None or (not row.raws and row.state == scanner.OPEN and _unknown(view) is None)
        left -= (row.end if row.raws else len(view.data)) - found.start()
        at = max(row.end, found.end())
    return None if unknown else b""


def _past(data: bytes, at: int) -> int:
    gap = _SPACE.match(data, at)
    return gap.end() if gap else at
