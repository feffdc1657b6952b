"""How the objects of one type are laid out: what a source needs to know to cut them into whole events."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct

Unwrap: TypeAlias = Callable[[bytes], Sequence[bytes]]
"""One JSON document → its events; raises ValueError with what it lacks."""

OtherHeaders: TypeAlias = Callable[[bytes, bytes], Iterator[tuple[int, int]]]
"""Whole lines, the header of the first of them → start and end of each other header, its newline included."""

JSON_ROWS = b"{}\n"
"""As header of rows: they are JSON already, whatever text the service has otherwise. No line can be it."""


class Layout(Struct, frozen=True):
    r"""Layout of one type of object. Compression and Parquet need no word here: content shows them.

    records: events are the elements of this top-level JSON array, e.g. "Records"; "" = one event per line.
    digests: with `records`, a CloudTrail digest document is one event; by default it holds none.
    comment: lines that begin so are no events (`#`: CloudFront); a `#Fields:` line gives the header.
    is_header: tells whether the first line names the columns; that line is no event, wherever it appears.
    glued: where it appears again, it may stand at the end of a row of as many columns.
    other_headers: finds others in mid-file; the lines behind one are rows of it.
    quoted: CSV whose quoted fields may hold newlines; such a newline becomes a space.
    column: spells a Parquet column's name as the text form of the same log does: rows become its lines. None:
        rows are JSON objects.
    separator: joins the columns of such a row, and their names, to a line.
    values: JSON values one after another, whatever stands between them; each is one event, or what `unwrap`
        takes out of it. An object that is one JSON array holds its elements.
    between: with `values`, what may stand between two besides white space and commas, e.g. "||".
    line_end: what ends a line, b"" = a newline, with or without \r; a newline within a line becomes a space.
    or_lines: with `values`, an object that does not begin as JSON is cut into lines.
    by_key: the key of an object tells its layout (a queue of several types).
    refused: why no object is read; "" = they are.
    """

    records: str = ""
    digests: bool = False
    comment: bytes = b""
    is_header: Callable[[bytes], bool] | None = None
    glued: bool = False
    other_headers: OtherHeaders | None = None
    quoted: bool = False
    separator: bytes = b" "
    column: Callable[[str], str] | None = None
    values: bool = False
    unwrap: Unwrap | None = None
    between: bytes = b""
    line_end: bytes = b""
    or_lines: bool = False
    by_key: "Callable[[str], Layout] | None" = None
    refused: str = ""

    def of(self, key: str) -> "Layout":
        """Return the layout of the object with this key."""
        return self.by_key(key) if self.by_key else self
