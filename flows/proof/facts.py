"""All that is known of each object, from wherever it is known: put down in any order, read object by object.

A bucket and a journal of millions of rows are both longer than memory and neither comes in the other's order.
They wait in a table of SQLite in a temporary folder, which sorts on disk: some 300 bytes for each row.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from sources.errors import SourceError

_MEMORY_KIB = 8 << 10
_LOT = 5_000
_COLUMNS = "object, source, etag, state, at, size, events, filtered, quarantined, records, sha256, place"


class Witness(IntEnum):
    """Where a fact is from."""

    LISTED = 0
    JOURNAL = 1
    QUEUE = 2
    SIGNED = 3


class Fact(NamedTuple):
    """One thing that is known of an object, named `s3://bucket/key`.

    state: the journal's outcome, or what became of a signed log file. at: epoch milliseconds when it was
    written (bucket), settled (journal) or sent (queue). place: account and region.
    """

    object: str
    source: Witness
    etag: str = ""
    state: str = ""
    at: int = 0
    size: int = 0
    events: int = 0
    filtered: int = 0
    quarantined: int = 0
    records: int = 0
    sha256: bytes = b""
    place: str = ""


class FactTable:
    """A table of facts in a folder. Not thread-safe. Raises SourceError when there is no room for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = sqlite3.connect(folder / "facts.sqlite", isolation_level=None)
        for pragma in (
            "journal_mode=OFF",
            "synchronous=OFF",
            "temp_store=FILE",
            f"cache_size=-{_MEMORY_KIB}",
        ):
            self._table.execute(f"PRAGMA {pragma}")
        self._table.execute(f"CREATE TABLE fact({_COLUMNS})")

    def add(self, facts: Iterable[Fact]) -> int:
        """Put down facts; returns how many."""
        before = self._table.total_changes
        try:
            self._table.execute("BEGIN")
            self._table.executemany("INSERT INTO fact VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", facts)
            self._table.execute("COMMIT")
        except sqlite3.OperationalError as error:
            hint = "make room, name another folder in TMPDIR, or prove fewer days at once"
            raise SourceError(
                f"the proof's table cannot be written ({error})", str(self._folder), hint
            ) from error
        return self._table.total_changes - before

    def unexplained(self) -> bool:
        """Tell whether the bucket has an object, or a content of one, that the journal does not know."""
        query = """SELECT 1 FROM (SELECT object, etag FROM fact WHERE source = 0
                   EXCEPT SELECT object, etag FROM fact WHERE source = 1) LIMIT 1"""
        return self._table.execute(query).fetchone() is not None

    def by_object(self) -> Iterator[tuple[str, list[Fact]]]:
        """Yield each object, in the order of their names, with all that is known of it, oldest first."""
        cursor = self._table.execute(f"SELECT {_COLUMNS} FROM fact ORDER BY object, source, at")  # noqa: S608
        cursor.arraysize = _LOT
        for name, found in groupby(map(Fact._make, cursor), attrgetter("object")):
            yield name, list(found)

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()
