"""The journal read: rows of Parquet and of the running hour as one, filtered, in bounded memory."""

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from flows.journal.bucket import PARQUET, JournalBucket
from flows.journal.compaction import MOMENTS, day_of
from flows.journal.log import LOGS, logs, read
from sources.errors import SourceError
from sources.journal import JournalRow

Journal: TypeAlias = Path | JournalBucket
"""A folder, or a bucket beside the folder of this machine."""

_T = TypeVar("_T")
_BATCH_ROWS = 20_000
SUMMED_BY = ("day", "service", "input", "account", "region", "container", "outcome", "tag", "process", "kind")
COUNTS = ("objects", "events", "records", "filtered", "quarantined", "stored_bytes")


class Query(Struct, frozen=True):
    """Which rows. Moments are epoch milliseconds, `to` exclusive; empty texts mean any.

    key: a pattern as shells have it, of the whole `s3://bucket/key`. tag: rows with an event of this tag.
    """

    start: int = 0
    to: int = 1 << 62
    service: str = ""
    account: str = ""
    region: str = ""
    key: str = ""
    tag: str = ""
    outcome: str = ""

    def wants(self, row: JournalRow) -> bool:
        """Tell whether a row is one of them."""
        return (
            self.start <= row.time < self.to
            and all(
                not wanted or wanted == getattr(row, name)
                for name, wanted in (
                    ("service", self.service),
                    ("account", self.account),
                    ("region", self.region),
                    ("outcome", self.outcome),
                )
            )
            and (not self.tag or self.tag in row.tags)
            and (not self.key or fnmatch.fnmatchcase(row.object, self.key))
        )


def rows(journal: Journal, query: Query) -> Iterator[JournalRow]:
    """Yield the rows of a journal that a query wants, day by day. Raises SourceError: of a bucket."""
    for path in files(journal, query):
        yield from filter(query.wants, of_file(journal, path, read, of_parquet))


def of_file(
    journal: Journal, path: Path, log: Callable[[Path], Iterable[_T]], parquet: Callable[[Path], Iterable[_T]]
) -> Iterator[_T]:
    """Yield what `log` or `parquet` makes of a file; a log may have become Parquet, or gone to the bucket."""
    try:
        yield from (parquet if path.suffix == PARQUET else log)(path)
    except FileNotFoundError:
        made = sorted(folder_of(journal).glob(f"day=*/{path.stem}{PARQUET}"))
        if not made and isinstance(journal, JournalBucket):
            yield from (one for there in journal.of_log(path.stem) for one in parquet(there))
        for found in made:
            yield from parquet(found)
    except (ValueError, OSError) as error:  # Arrow's own are of these
        hint = "bring it back, or move it away: what it tells of then counts as never delivered"
        raise SourceError(f"a file of the journal cannot be read ({error})", str(path), hint) from error


def folder_of(journal: Journal) -> Path:
    """Return what a journal has on this machine."""
    return journal if isinstance(journal, Path) else journal.folder


def files(journal: Journal, query: Query) -> Iterator[Path]:
    """Yield the files that rows of a query may be in, each row in one of them: Parquet by day, then logs.

    What only a bucket has comes last; such a file is gone when the next one is asked for.
    """
    folder = folder_of(journal)
    running = logs(folder / LOGS)
    unfinished = {path.stem for path in running}
    seen = set(unfinished)
    for day in sorted(filter(None, map(day_of, folder.glob("day=*")))):
        if _touches(day, query):
            for path in sorted((folder / f"day={day}").glob(f"*{PARQUET}")):
                if path.stem not in unfinished:
                    seen.add(f"{path.parent.name}/{path.stem}")
                    yield path
    yield from running
    if isinstance(journal, JournalBucket):
        yield from journal.files(query.start / 1000, query.to / 1000, seen)


def sums(found: Iterable[JournalRow], by: Sequence[str]) -> dict[tuple[str, ...], Counter[str]]:
    """Return what the rows add up to, for each combination of `by`.

    by: names of columns, `day`, or `tag` (then `events` are those of the tag, and the other counts are left
    out: a row's objects and bytes belong to all of its tags).
    """
    totals: dict[tuple[str, ...], Counter[str]] = {}
    for row in found:
        tags: Iterable[tuple[str, int]] = row.tags.items() if "tag" in by else [("", row.events)]
        for tag, events in tags:
            total = totals.setdefault(tuple(_label(row, name, tag) for name in by), Counter())
            total["events"] += events
            if "tag" not in by:
                total["objects"] += 1
                for name in COUNTS[2:]:
                    total[name] += getattr(row, name)
    return dict(sorted(totals.items()))


def _label(row: JournalRow, name: str, tag: str) -> str:
    if name == "tag":
        return tag
    if name == "day":
        return datetime.fromtimestamp(row.time / 1000, UTC).date().isoformat()
    return str(getattr(row, name))


def _touches(day: date, query: Query) -> bool:
    begins = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return begins < query.to and begins + 86_400_000 > query.start


def of_parquet(path: Path, only: Sequence[str] | None = None) -> Iterator[JournalRow]:
    """Yield the rows of a file. only: columns to read, None = all."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=only):
            columns = {
                name: _millis(batch.column(name)) if name in MOMENTS else batch.column(name).to_pylist()
                for name in batch.schema.names
            }
            names = list(columns)
            for values in zip(*columns.values(), strict=True):
                yield _row(dict(zip(names, values, strict=True)))


def _row(values: Mapping[str, Any]) -> JournalRow:
    """Return a row; a file of an older release lacks columns, one of a newer has some that are not known."""
    known = {name: values[name] for name in JournalRow.__struct_fields__ if values.get(name) is not None}
    known["tags"] = dict(values.get("tags") or ())
    known["outputs"] = tuple(values.get("outputs") or ())
    return JournalRow(**known)


def _millis(column: Any) -> list[int]:
    import pyarrow as pa  # noqa: PLC0415

    return [value or 0 for value in column.cast(pa.int64()).to_pylist()]
