"""Captured S3 objects through the same transforms to any sink.

python -m flows replay ./captures --output devo --config config.yaml
python -m flows replay ./captures --json
python -m bytewax.run "flows.replay:flow('./captures')"
"""

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from msgspec import Struct, field
from msgspec.structs import replace

from flows.catalogue.object_types import CUSTOM
from flows.catalogue.service import Unit
from flows.catalogue.services import REPLAYED, every, recognise, replay_unit, units
from flows.commands.progress_bar import progress
from flows.commands.quarantine_replay import again
from flows.commands.run import root_cause
from flows.config.base import ObjectsSettings
from flows.config.load import Settings, SettingsError, find, load
from flows.config.paths import NAMED_BY
from flows.process.memory import reuse_blocks
from flows.process.runtime import drain_on_signals, launch, log_to_stderr
from flows.steps import apply, spread
from sinks.devo import DevoSink
from sinks.errors import ReaderGone
from sinks.settings import Console, OutputSettings, parse_output
from sources.aws.account import Account
from sources.lanes import LANES
from sources.listed.captures import CaptureSource, expand, open_stored
from sources.objects.decode import DecodeLimits, head, read
from transforms.block import POISON_MARK, Block, Item, Origin, Poison

_HEAD_BYTES = 64 << 10
_STDOUT = "stdout"
_INTERVAL = timedelta(seconds=10)
_MOST_TOLD = 1_000
"""Of what was not readable, in the report for machines."""


class ReplayRequest(Struct, frozen=True):
    """What to replay.

    service: one of the configuration by its name or key, or one of the catalogue; "" = detected.
    output: as `outputs_of`; "" = stdout, which a report takes.
    """

    paths: Sequence[str]
    service: str = ""
    output: str = ""


class ReplayTally(Struct):
    """What one replay has done so far; shared by the workers of the process."""

    events: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    poisons: int = 0
    unread: list[dict[str, Any]] = field(default_factory=list)
    objects: int = 0
    left_out: int = 0
    retried: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, item: Item) -> bool:
        """Count an item; report a poison on stderr at once. Returns whether it goes on to the sink."""
        with self.lock:
            if isinstance(item, Block):
                self.events[item.tag] += item.count
                self.size[item.tag] += len(item.payload)
                return True
            self.poisons += 1
            if self.poisons <= _MOST_TOLD:
                self.unread.append(_told(item))
        sys.stderr.write(f"{item.detail}\n")
        return False

    def leave_out(self) -> None:
        """Count an object that the service's key filter leaves out."""
        with self.lock:
            self.left_out += 1

    def finished(self, _path: str) -> None:
        """Count one object read to its end."""
        with self.lock:
            self.objects += 1


class ReplayInputs(Struct, frozen=True):
    """What a replay has from outside: the configuration, if any, and the S3 client, if it needs one.

    folders: among the paths.
    """

    settings: Settings | None
    client: Any
    folders: tuple[str, ...] = ()

    def key(self, path: str) -> str:
        """Return an object's key; that of a file is its path below the folder that was named."""
        if path.startswith("s3://"):
            return Origin("", object=path).key
        inside = [folder for folder in self.folders if Path(path).is_relative_to(folder)]
        return str(Path(path).relative_to(max(inside, key=len))) if inside else path


def replay(wanted: ReplayRequest, config: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Replay objects to stdout, a file, or Devo; 0 when every byte could be read and was delivered.

    as_json: what was done goes to stdout as one JSON object, and no events.
    """
    if as_json and wanted.output == _STDOUT:
        raise SettingsError("events and --json would mix", "--output stdout", "leave out one of them")
    settings = settings_of(config, needed=bool(config) or wanted.output == "devo")
    log_to_stderr(debug=bool(settings and settings.globals.debug), ends=True)
    outputs = outputs_of(wanted.output or _STDOUT, settings)
    if as_json:
        outputs = [output for output in outputs if not isinstance(output, Console)]
    client = s3_client(wanted.paths, settings)
    objects, tally = expand(wanted.paths, client), ReplayTally()
    dataflow = _flow(
        objects, wanted.service, outputs, ReplayInputs(settings, client, _folders(wanted.paths)), tally
    )
    try:
        with progress("objects", len(objects), lambda: tally.objects, quiet=quiet or as_json):
            cli_main(dataflow, workers_per_process=launch().workers, epoch_interval=_INTERVAL)
    except Exception as error:
        cause = root_cause(error)
        if isinstance(cause, ReaderGone):
            return 0  # `| head` has seen enough
        raise cause from error
    _tell(tally, as_json=as_json)
    if tally.retried and not tally.poisons:
        sys.stderr.write(
            "the quarantine files are still there: delete them, or they are sent again next time\n"
        )
    return 1 if tally.poisons else 0


def settings_of(config: Path | None, *, needed: bool) -> Settings | None:
    """Return the configuration that `run` would take; None where there is none and none is needed.

    Raises SettingsError for one that is wrong: what it says of tags and filters would be missing.
    """
    try:
        path = find(config)
    except SettingsError:
        if needed or any(os.environ.get(name) for name in NAMED_BY):
            raise
        return None
    return load(path, need_inputs=False)


def flow(*paths: str, service: str = "", output: str = _STDOUT, config: str | None = None) -> Dataflow:
    """Build the replay for `bytewax.run`, whose own options decide workers and epochs."""
    settings = settings_of(Path(config) if config else None, needed=bool(config))
    log_to_stderr()
    client = s3_client(paths, settings)
    given = ReplayInputs(settings, client, _folders(paths))
    return _flow(expand(paths, client), service, outputs_of(output, settings), given, ReplayTally())


def _folders(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(path for path in paths if not path.startswith("s3://") and Path(path).is_dir())


def s3_client(paths: Sequence[str], settings: Settings | None) -> object:
    """Return what reads `s3://` paths, None if there are none.

    It works as the first input of `--config`, else as boto3's default chain.
    """
    if not any(path.startswith("s3://") for path in paths):
        return None
    running = units(settings) if settings else []
    account = running[0].account if running else Account("replay")
    return account.client("s3", "")


def _flow(
    objects: list[str],
    service: str,
    outputs: list[OutputSettings],
    given: ReplayInputs,
    tally: ReplayTally,
) -> Dataflow:
    named = _named(service, given.settings) if service else []
    started = launch()
    reuse_blocks()
    sink = DevoSink(outputs, started, drain_on_signals())
    dataflow = Dataflow("replay")
    source = CaptureSource(
        objects,
        _opened(named, given, tally, sink.limit),
        partitions=min(started.workers, LANES),  # as live: more only take turns, each with its megabytes
        client=given.client,
        finished=tally.finished,
    )
    fitting = op.flat_map("fit", op.input("captures", dataflow, source), sink.fit)
    events = op.filter("readable", fitting, tally.count)
    op.output("devo", op.flat_map("connection", events, spread(sink.keys())), sink)
    return dataflow


def _named(name: str, settings: Settings | None) -> list[Unit]:
    """Return the units that `--service` names: those of the configuration, else one of the catalogue.

    Raises SettingsError.
    """
    able = [unit for unit in units(settings) if unit.service.layout] if settings else []
    if found := [unit for unit in able if name in {unit.service.name, unit.service_key}]:
        return found
    services = {name: service for name, service in every().items() if service.layout}
    if name not in services:
        known = sorted({*services, *(unit.name for unit in able)})
        raise SettingsError("unknown service", name, f"one of {', '.join(known)}")
    return [replay_unit(services[name], settings)]


def _unit(named: Sequence[Unit], path: str, first: bytes, settings: Settings | None) -> Unit | None:
    """Return what reads an object: what was named, or of several types the one that its content shows."""
    if len({unit.service.name for unit in named}) == 1:
        return named[0]
    of_one = {unit.service.name: unit for unit in reversed(named)}
    service = recognise(path, first, of_one)
    if service is None or named:
        return of_one[service.name] if service else None
    return replay_unit(service, settings)


def _opened(
    named: Sequence[Unit], given: ReplayInputs, tally: ReplayTally, largest: int
) -> Callable[[str, BinaryIO], Iterator[Item]]:
    """Return what makes events of one capture: cut by its type's layout, tagged by its transform."""
    made: dict[str, Callable[[list[Item]], list[Item]]] = {}

    def opened(path: str, stream: BinaryIO) -> Iterator[Item]:
        first = _head(path, given.client)
        if first.startswith(POISON_MARK):
            tally.retried += 1
            yield from again(stream.read(), given.settings, largest)
            return
        unit = _unit(named, path, first, given.settings)
        if unit is None:
            detail = f"object not recognised: {path}: name its type with --service"
            yield Poison("not_recognised", detail, Origin("replay", object=path))
            return
        key = given.key(path)
        if isinstance(unit.options, ObjectsSettings) and not unit.options.key_filter(key):
            tally.leave_out()
            return
        transform = made.setdefault(unit.step_id, apply(unit.service.transform(unit), largest))
        name = key if unit.service is CUSTOM else path  # AWS's own keys are told by any part of a path
        for piece in read(stream, unit.layout().of(name), _sizes(unit), path):
            origin = Origin(unit.service.name, object=name, record=piece.records - piece.count)
            if piece.reason:
                detail = f"{piece.detail}: {path}"
                yield Poison(piece.reason, detail, replace(origin, object=path), piece.payload)
                continue
            for item in transform([Block(piece.payload, piece.count, origin, header=piece.header)]):
                yield item if isinstance(item, Block) else replace(item, origin=replace(origin, object=path))

    return opened


def _sizes(unit: Unit) -> DecodeLimits:
    """Return how large objects and events may be: as configured."""
    options = unit.options
    if unit.input_id == REPLAYED or not isinstance(options, ObjectsSettings):
        return DecodeLimits()
    return DecodeLimits(options.max_object_bytes, options.max_inflation_ratio, options.max_event_bytes)


def _head(path: str, client: object) -> bytes:
    with open_stored(path, client) as stream:
        return head(stream, _HEAD_BYTES)


def outputs_of(name: str, settings: Settings | None) -> list[OutputSettings]:
    """Return the outputs that `--output` names: `stdout`, `devo` (all of the configuration), or a file."""
    if name == "devo":
        found = list(settings.outputs.values()) if settings else []
        if not [one for one in found if not isinstance(one, Console)]:
            hint = "add outputs to it, or use --output stdout"
            raise SettingsError("the configuration names no output", "--output devo", hint)
        return found
    raw: dict[str, object] = (
        {"type": "console"} if name == _STDOUT else {"type": "file", "config": {"path": name}}
    )
    return [parse_output("replay", raw)]


def _tell(tally: ReplayTally, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(report(tally), option=orjson.OPT_INDENT_2) + b"\n")
        return
    for tag, events in sorted(tally.events.items()):
        sys.stderr.write(f"{tag}  {events}\n")
    left_out = f", {tally.left_out} left out by the service's key filter" if tally.left_out else ""
    told = f"{tally.events.total()} events of {tally.objects} objects, {tally.poisons} not readable{left_out}"
    sys.stderr.write(f"{told}\n")


def report(tally: ReplayTally) -> dict[str, object]:
    """Return what was done for machines. bytes: of the events, without what the wire puts around them."""
    return {
        "ok": not tally.poisons,
        "objects": tally.objects,
        "events": tally.events.total(),
        "bytes": tally.size.total(),
        "tags": [
            {"tag": tag, "events": events, "bytes": tally.size[tag]}
            for tag, events in sorted(tally.events.items())
        ],
        "not_readable": tally.poisons,
        **({"left_out": tally.left_out} if tally.left_out else {}),
        "unread": tally.unread,
    }


def _told(item: Poison) -> dict[str, object]:
    origin = item.origin
    return {"object": origin.object, "record": origin.record, "reason": item.reason, "detail": item.detail}
