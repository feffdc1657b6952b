"""Closed logs made Parquet: one file for each UTC day of their rows, sorted, and then the log is removed.

Names follow from the log's: what a crash left half done is done again and writes the same files. Until the
log is gone, readers take it and leave its Parquet alone.
"""

import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

from flows.journal.log import LOGS, is_open, logs, read
from sources.journal import JournalRow

MOMENTS = ("time", "first", "last", "start", "end")
"""Columns of epoch milliseconds; 0 = none."""

_UNLIKE = {"object", "etag", "version", "sha256", "stored_bytes", *MOMENTS}
"""Columns whose values hardly repeat: a dictionary of them takes time and room."""

_DRAFT = ".draft"
_DAY_MS, _EPOCH = 86_400_000, date(1970, 1, 1).toordinal()
_ROWS = 50_000
"""Rows of a row group, and held at once."""


def schema() -> Any:
    """Return the columns as Arrow has them; DuckDB, Athena and pandas read them as they are."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and not needed to collect

    text, count = pa.string(), pa.int64()
    moment = pa.timestamp("ms", tz="UTC")
    kinds = {int: count, str: text, bytes: pa.binary(), bool: pa.bool_()}
    columns = []
    for name, kind in JournalRow.__annotations__.items():
        if name == "tags":
            columns.append((name, pa.map_(text, count)))
        elif name == "outputs":
            columns.append((name, pa.list_(text)))
        else:
            columns.append((name, moment if name in MOMENTS else kinds[kind]))
    return pa.schema(columns)


def compact(folder: Path, path: Path) -> list[Path]:
    """Make Parquet of one closed log and remove it; returns the files. Safe to repeat after a crash."""
    made = [_write(folder / f"day={day}" / f"{path.stem}.parquet", rows) for day, rows in _by_day(path)]
    path.unlink()
    _sync(path.parent)
    return made


def compact_closed(folder: Path) -> list[Path]:
    """Compact every log that no process of this machine writes any more, those of killed ones included."""
    return [made for path in logs(folder / LOGS) if not is_open(path) for made in compact(folder, path)]


def prune(folder: Path, keep_days: int, today: date | None = None) -> int:
    """Remove the days that are older than `keep_days`; returns how many."""
    oldest = (today or datetime.now(UTC).date()) - timedelta(days=keep_days)
    old = [path for path in folder.glob("day=*") if (day := day_of(path)) and day < oldest]
    for path in old:
        shutil.rmtree(path)
    return len(old)


def missing(path: Path, others: Iterable[bytes]) -> bytes:
    """Return Parquet of those rows of a file that no other has; b"" without any. What is broken has none."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    there: Counter[bytes] = Counter()
    for other in others:
        with suppress(ValueError, OSError), pq.ParquetFile(io.BytesIO(other)) as file:
            for batch in file.iter_batches(_ROWS):
                there.update(_digests(batch))
    made, count = io.BytesIO(), 0
    with (
        pq.ParquetFile(path) as file,
        pq.ParquetWriter(made, file.schema_arrow, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(_ROWS):
            new = []
            for one in _digests(batch):
                new.append(there[one] <= 0)
                there[one] -= 1
            writer.write_batch(batch.filter(new))
            count += sum(new)
    return made.getvalue() if count else b""


def _digests(batch: Any) -> list[bytes]:
    return [hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in batch.to_pylist()]


def day_of(path: Path) -> date | None:
    """Return the day that a folder `day=2026-01-02` is of, None for another one."""
    try:
        return date.fromisoformat(path.name.removeprefix("day="))
    except ValueError:
        return None


def table(rows: Sequence[JournalRow]) -> Any:
    """Return rows as an Arrow table."""
    import pyarrow as pa  # noqa: PLC0415

    names = JournalRow.__struct_fields__
    columns = dict(zip(names, map(list, zip(*map(attrgetter(*names), rows), strict=True)), strict=True))
    columns["tags"] = [list(row.tags.items()) for row in rows]
    columns |= {name: [value or None for value in columns[name]] for name in MOMENTS}
    return pa.table(columns, schema())


def _by_day(path: Path) -> Iterator[tuple[date, list[JournalRow]]]:
    """Yield the rows of a log by UTC day, sorted. A log is of one hour: at most two days, held in memory."""
    days: dict[int, list[JournalRow]] = {}
    for row in read(path):
        days.setdefault(row.time // _DAY_MS, []).append(row)
    for day, rows in sorted(days.items()):
        rows.sort(key=attrgetter("service", "account", "region", "time"))
        yield date.fromordinal(_EPOCH + day), rows


def _write(path: Path, rows: Sequence[JournalRow]) -> Path:
    """Write a file in full or not at all."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(_DRAFT)
    alike = [name for name in JournalRow.__struct_fields__ if name not in _UNLIKE]
    with pq.ParquetWriter(draft, schema(), compression="zstd", use_dictionary=alike) as writer:
        for start in range(0, len(rows), _ROWS):
            writer.write_table(table(rows[start : start + _ROWS]))
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)
    return path


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
