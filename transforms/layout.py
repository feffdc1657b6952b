"""How the objects of one type are laid out: what a source needs to know to cut them into whole events."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of one type of object. Compression and Parquet need no word here: content tells them.

    records: events are the elements of this top-level JSON array, e.g. "Records"; "" = one event per line.
    digests: with `records`, a CloudTrail digest document is one event; by default it holds none.
    comment: lines that begin so are no events (`#`: CloudFront); a `#Fields:` line gives the header.
    is_header: tells whether the first line names the columns; that line is no event, wherever it appears.
    quoted: CSV whose quoted fields may hold newlines; such a newline becomes a space.
    separator: joins the columns of a Parquet row, and their names, to a line.
    column: spells a Parquet column's name as the text form of the same log does.
    """

    records: str = ""
    digests: bool = False
    comment: bytes = b""
    is_header: Callable[[bytes], bool] | None = None
    quoted: bool = False
    separator: bytes = b" "
    column: Callable[[str], str] = str
