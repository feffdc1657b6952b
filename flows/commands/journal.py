"""`python -m flows journal`: what was delivered, row by row or added up."""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import asdict
from rich.console import Console
from rich.table import Table

from flows.catalogue.services import units
from flows.commands.moments import moment
from flows.config.load import Settings, SettingsError, load
from flows.journal.compaction import MOMENTS
from flows.journal.keeping import opened
from flows.journal.reader import COUNTS, SUMMED_BY, Journal, Query, rows, sums
from sources.journal import JournalRow

_SHOWN = ("time", "outcome", "service", "account", "region", "object", "events", "tags", "outputs")


class JournalAnswer(Struct, frozen=True):
    """What is printed: columns, and rows of as many values."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def query_of(start: str, end: str, wanted: Mapping[str, str]) -> Query:
    """Return what is asked for; without `--from` from the first row on, without `--to` to the last."""
    return Query(
        _millis("--from", start) if start else 0, _millis("--to", end) if end else Query().to, **wanted
    )


def _millis(option: str, text: str) -> int:
    return int(moment(option, text).timestamp() * 1000)


def show(config: Path | None, query: Query, *, by: str, as_format: str) -> int:
    """Print the rows of a query, or their sums; as a table, JSON lines or CSV."""
    found = rows(journal_of(load(config, need_inputs=False)), query)
    names = [name.strip() for name in by.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SUMMED_BY]:
        raise SettingsError(
            f"nothing can be summed by {unknown[0]}", "--sum", f"name some of {', '.join(SUMMED_BY)}"
        )
    answer = (
        _summed(found, names) if names else JournalAnswer(JournalRow.__struct_fields__, map(_values, found))
    )
    {"table": _table, "jsonl": _lines, "csv": _csv}[as_format](answer)
    return 0


def journal_of(settings: Settings) -> Journal:
    """Return the journal of a configuration. Raises SettingsError when it keeps none."""
    if settings.journal is None:
        hint = "leave globals.journal out, or name a folder"
        raise SettingsError("this configuration keeps no journal", "globals.journal", hint)
    return opened(settings.journal, lambda: units(settings)[0].account.client("s3", ""))


def _summed(found: Iterator[JournalRow], by: Sequence[str]) -> JournalAnswer:
    counts = [name for name in COUNTS if "tag" not in by or name == "events"]
    totals = sums(found, by)
    return JournalAnswer(
        (*by, *counts), [(*key, *(total[name] for name in counts)) for key, total in totals.items()]
    )


def _values(row: JournalRow) -> Sequence[Any]:
    values: dict[str, Any] = asdict(row)
    values |= {name: _moment(values[name]) for name in MOMENTS}
    return [*{**values, "sha256": row.sha256.hex()}.values()]


def _moment(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds") if millis else ""


def _lines(answer: JournalAnswer) -> None:
    for row in answer.rows:
        sys.stdout.buffer.write(orjson.dumps(dict(zip(answer.columns, row, strict=True))) + b"\n")


def _csv(answer: JournalAnswer) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(answer.columns)
    writer.writerows([_text(value) for value in row] for row in answer.rows)


def _table(answer: JournalAnswer) -> None:
    shown = [name for name in answer.columns if name in _SHOWN or "kind" not in answer.columns]
    made = Table(box=None, pad_edge=False)
    for name in shown:
        made.add_column(name, justify="right" if name in COUNTS else "left", overflow="fold")
    for row in answer.rows:
        values = dict(zip(answer.columns, row, strict=True))
        made.add_row(*(_text(values[name]) for name in shown))
    Console(width=None if sys.stdout.isatty() else 200).print(made, markup=False) if made.row_count else None


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={count}" for name, count in sorted(value.items()))
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
