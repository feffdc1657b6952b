"""What the journal says of a service's objects, as facts; only the columns that are needed are read."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import Any

from flows.journal.bucket import JournalBucket
from flows.journal.compaction import day_of
from flows.journal.log import LOGS, begun, logs, read
from flows.journal.reader import Journal, Query, files, folder_of, of_file
from flows.proof.facts import Fact, Witness
from sources.listed.listing import Stretch, told

_SPAN_MS = 2 * 3_600_000
"""No row of a file is later than this after the time in its name: a log is of an hour."""

_BATCH_ROWS = 5_000
_COLUMNS = (
    "object",
    "etag",
    "outcome",
    "time",
    "stored_bytes",
    "events",
    "filtered",
    "quarantined",
    "records",
    "sha256",
    "account",
    "region",
    "repeated",
)
_BEFORE = timedelta(days=1)
"""So much may a clock be behind: an object's row is later than the time in its key."""


def journal_facts(
    journals: Iterable[Journal], service: str, stretch: Stretch, since: int = 0
) -> Iterator[Fact]:
    """Yield a fact for each row of an object of a stretch; also of those whose keys say no date.

    since: epoch milliseconds; rows before are not looked at.
    """
    begins = max(since, int((stretch.start - _BEFORE).timestamp() * 1000))
    query = Query(start=begins, service=service)
    for journal in journals:
        for path in files(journal, query):
            if int(path.name.partition("-")[0]) + _SPAN_MS < begins:
                continue
            for values in _values(journal, path, query):
                if told(values[0].partition("//")[2].partition("/")[2], stretch) is not False:
                    yield _fact(values)


def buckets(journals: Iterable[Journal], service: str, stretch: Stretch) -> set[str]:
    """Return the buckets that objects of a stretch came from."""
    found = journal_facts(journals, service, stretch)
    return {fact.object.removeprefix("s3://").partition("/")[0] for fact in found}


def begin_of(journals: Sequence[Journal]) -> date | None:
    """Return the day of the oldest rows, None when there are none."""
    folders = list(map(folder_of, journals))
    days = [day for folder in folders for day in filter(None, map(day_of, folder.glob("day=*")))]
    logged = [path for folder in folders for path in logs(folder / LOGS)]
    since = [begun(path.stem) for path in logged]
    since += [journal.begins() for journal in journals if isinstance(journal, JournalBucket)]
    days += [datetime.fromtimestamp(one, UTC).date() for one in since if isfinite(one)]
    return min(days, default=None)


def _fact(values: tuple[Any, ...]) -> Fact:
    name, etag, outcome, *counts, account, region, repeated = values
    state = "repeated" if repeated else outcome
    return Fact._make((name, Witness.JOURNAL, etag, state, *counts, f"{account} {region}"))


def _values(journal: Journal, path: Path, query: Query) -> Iterator[tuple[Any, ...]]:
    """Yield the columns of a file's rows."""
    columns = attrgetter(*_COLUMNS)

    def of_log(log: Path) -> Iterator[tuple[Any, ...]]:
        return (columns(row) for row in read(log) if row.kind == "object" and query.wants(row))

    return of_file(journal, path, of_log, lambda made: _of_parquet(made, query))


def _of_parquet(path: Path, query: Query) -> Iterator[tuple[Any, ...]]:
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["kind", "service", *_COLUMNS]):
            moment = batch.column("time").cast(pa.int64())
            wanted = pc.and_(
                pc.and_(pc.equal(batch.column("kind"), "object"), pc.greater_equal(moment, query.start)),
                pc.equal(batch.column("service"), query.service),
            )
            found = batch.set_column(batch.schema.get_field_index("time"), "time", moment).filter(wanted)
            yield from zip(*(found.column(name).to_pylist() for name in _COLUMNS), strict=True)
