"""`python -m flows backfill`: objects of past days, listed in their bucket and collected on the usual path.

The list is made once and kept with the positions in a folder of the state directory, so the same command goes
on where it was stopped or killed. Delivery, quarantine and receipts are those of `flows run`.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import orjson
from msgspec import Struct, field
from msgspec.structs import asdict

from flows.aws import s3_of
from flows.catalogue.build import object_opener, reads_objects
from flows.catalogue.service import ConfiguredService, chosen
from flows.catalogue.services import units
from flows.commands.moments import between
from flows.commands.one_shot import bucket_and_prefix, deliver_all, state_of
from flows.commands.progress_bar import progress
from flows.config.base import ObjectsSettings
from flows.config.load import Settings, SettingsError, load
from flows.journal import keeping
from flows.process.memory import reuse_blocks
from flows.process.runtime import drain_on_signals, log_to_stderr
from sources.journal_pending import RowKeeper
from sources.listed.backlog import BacklogSource
from sources.listed.listing import ListingCalls, Stretch, listed
from sources.objects.object_ref import ObjectRef

_Unit: TypeAlias = ConfiguredService[ObjectsSettings]

GET_USD, LIST_USD = 0.4e-6, 5e-6
"""Per request, S3 Standard in us-east-1; reading within the region costs nothing more."""

_SECONDS = 3.0
_NOTHING = ("no object of these dates", "--location, --from, --to", "correct them; --to is exclusive")
_LIST, _DONE = "objects.jsonl", "done"


class BackfillRequest(Struct, frozen=True):
    """What to collect. service: name or setting. location: `s3://bucket/prefix`. rate: stored MB a second."""

    service: str
    location: str
    start: str
    end: str
    rate: float = 20.0


class BackfillTally(Struct):
    """What has been collected so far, by any run of the same backfill."""

    objects: int = 0
    size: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def finished(self, ref: ObjectRef) -> None:
        """Count an object whose events are all on their way."""
        with self.lock:
            self.objects += 1
            self.size += ref.size


def backfill(
    config: Path | None, wanted: BackfillRequest, *, dry_run: bool, as_json: bool, quiet: bool
) -> int:
    """Collect; 0 when every object of the list has been delivered, 1 when it was stopped before."""
    settings = load(config)
    log_to_stderr(debug=settings.globals.debug)
    reuse_blocks()
    unit, stretch = unit_of(settings, wanted.service), Stretch(*between(wanted.start, wanted.end))
    if dry_run:
        asked = ListingCalls()
        found = list(_list(unit, wanted, stretch, asked))
        if not found:
            raise SettingsError(*_NOTHING)
        _tell(_forecast(found, asked, wanted.rate), as_json=as_json)
        return 0
    named = f"{unit.step_id} {wanted.location} {wanted.start} {wanted.end}"
    folder = state_of(settings, "", named)
    if (folder / _DONE).exists():
        sys.stderr.write(f"this backfill is done: {folder}: remove the folder to collect all of it again\n")
        return 0
    objects = kept_list(folder, lambda: _list(unit, wanted, stretch, ListingCalls()))
    tally = BackfillTally()
    if not objects:
        raise SettingsError(*_NOTHING)
    with progress("objects", len(objects), lambda: tally.objects, quiet=quiet or as_json):
        unwritten = run(settings, unit, (objects, tally), folder)
    complete = tally.objects == len(objects) and not unwritten
    if complete:
        (folder / _DONE).touch()
    _tell({"objects": tally.objects, "of": len(objects), "bytes": tally.size}, as_json=as_json)
    if not complete:
        sys.stderr.write("stopped before its end; the same command goes on\n")
    return 0 if complete else 1


def unit_of(settings: Settings, service: str) -> _Unit:
    """Return the one unit of the configuration that `--service` names. Raises SettingsError."""
    able = [unit for unit in units(settings) if reads_objects(unit)]
    return chosen(able, service, "no such service of S3 objects is enabled")


def _list(unit: _Unit, wanted: BackfillRequest, stretch: Stretch, asked: ListingCalls) -> Iterator[ObjectRef]:
    bucket, prefix = bucket_and_prefix(wanted.location)
    client = unit.account.client("s3", unit.regions[0])
    for ref in listed(client, bucket, prefix, stretch, asked):
        if unit.options.key_filter(ref.key):
            yield ref


def kept_list(folder: Path, listed: Callable[[], Iterable[ObjectRef]]) -> list[ObjectRef]:
    """Return the list of the first run, to which positions belong; half a list is never used."""
    kept = folder / _LIST
    if not kept.exists():
        lines = (orjson.dumps(asdict(ref)) for ref in listed())
        aside = kept.with_suffix(".new")
        aside.write_bytes(b"".join(line + b"\n" for line in lines))
        aside.replace(kept)
    return [ObjectRef(**orjson.loads(line)) for line in kept.read_bytes().splitlines()]


def run(settings: Settings, unit: _Unit, backlog: tuple[list[ObjectRef], BackfillTally], folder: Path) -> int:
    """Deliver objects but those that a former run in this folder has delivered.

    Returns how many rows the journal has not taken: they are in the folder, for the next run.
    """
    objects, tally = backlog
    drain = drain_on_signals()
    opener, _ = object_opener(unit)
    transform = unit.service.transform(unit)
    source = BacklogSource(unit.service.name, objects, opener.one, drain, tally.finished)
    if settings.journal:
        book = keeping.begin(settings.journal, drain, s3_of([unit]))
        source.keeper = RowKeeper(book, unit.service.name, unit.account.name)
        transform, opener.journaled = book.counted(transform, unit.account.name), True
    deliver_all(settings, (unit, source, transform), drain, folder, _SECONDS)
    return source.keeper.left


def _forecast(objects: Sequence[ObjectRef], asked: ListingCalls, rate: float) -> dict[str, float]:
    size = sum(ref.size for ref in objects)
    return {
        "objects": len(objects),
        "bytes": size,
        "requests_list": asked.requests,
        "requests_get": len(objects),
        "usd": round(asked.requests * LIST_USD + len(objects) * GET_USD, 4),
        "minutes": round(size / (rate * 1e6) / 60, 1),
    }


def _tell(figures: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, value in figures.items():
        sys.stderr.write(f"{name.replace('_', ' '):14}{value:>14,}\n")  # events may go to stdout
