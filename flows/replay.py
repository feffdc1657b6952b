"""Captured S3 objects through the same transforms to any sink.

python -m flows replay ./captures --output devo --config config.yaml
python -m flows replay ./captures --json
python -m bytewax.run "flows.replay:flow('./captures')"
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from msgspec import Struct, field

from flows.catalogue.service import AnyService
from flows.catalogue.services import every, recognise, replay_unit, units
from flows.commands.progress_bar import progress
from flows.commands.quarantine_replay import again
from flows.commands.run import root_cause
from flows.config.load import Settings, SettingsError, load
from flows.process.memory import reuse_blocks
from flows.process.runtime import drain_on_signals, launch, log_to_stderr
from flows.steps import apply, spread
from sinks.devo import DevoSink
from sinks.errors import ReaderGone
from sinks.settings import Console, OutputSettings, parse_output
from sources.aws.account import Account
from sources.listed.captures import CaptureSource, expand, open_stored
from sources.objects.decode import DecodeLimits, head, read
from transforms.block import POISON_MARK, Block, Item, Origin, Poison

if TYPE_CHECKING:
    from transforms.layout import Layout

_HEAD_BYTES = 64 << 10
_STDOUT = "stdout"
_INTERVAL = timedelta(seconds=10)
_MOST_TOLD = 1_000
"""Of what was not readable, in the report for machines."""


class ReplayRequest(Struct, frozen=True):
    """What to replay. service: "" = detected. output: as `outputs_of`; "" = stdout, which a report takes."""

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

    def finished(self, _path: str) -> None:
        """Count one object read to its end."""
        with self.lock:
            self.objects += 1


class Given(Struct, frozen=True):
    """What a replay has from outside: the configuration, if any, and the S3 client, if it needs one."""

    settings: Settings | None
    client: Any


def replay(wanted: ReplayRequest, config: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Replay objects to stdout, a file, or Devo; 0 when every byte could be read and was delivered.

    as_json: what was done goes to stdout as one JSON object, and no events.
    """
    if as_json and wanted.output == _STDOUT:
        raise SettingsError("events and --json would mix", "--output stdout", "leave out one of them")
    settings = load(config, need_inputs=False) if config or wanted.output == "devo" else None
    log_to_stderr(debug=bool(settings and settings.globals.debug))
    outputs = outputs_of(wanted.output or _STDOUT, settings)
    if as_json:
        outputs = [output for output in outputs if not isinstance(output, Console)]
    client = s3_client(wanted.paths, settings)
    objects, tally = expand(wanted.paths, client), ReplayTally()
    dataflow = _flow(objects, wanted.service, outputs, Given(settings, client), tally)
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


def flow(*paths: str, service: str = "", output: str = _STDOUT, config: str | None = None) -> Dataflow:
    """Build the replay for `bytewax.run`, whose own options decide workers and epochs."""
    settings = load(Path(config), need_inputs=False) if config else None
    log_to_stderr()
    client = s3_client(paths, settings)
    given = Given(settings, client)
    return _flow(expand(paths, client), service, outputs_of(output, settings), given, ReplayTally())


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
    given: Given,
    tally: ReplayTally,
) -> Dataflow:
    named = _named(service) if service else None
    started = launch()
    reuse_blocks()
    sink = DevoSink(outputs, started, drain_on_signals())
    dataflow = Dataflow("replay")
    source = CaptureSource(
        objects,
        _opened(named, given, tally, sink.limit),
        partitions=started.workers,
        client=given.client,
        finished=tally.finished,
    )
    fitting = op.flat_map("fit", op.input("captures", dataflow, source), sink.fit)
    events = op.filter("readable", fitting, tally.count)
    op.output("devo", op.map("connection", events, spread(sink.keys())), sink)
    return dataflow


def _replayable() -> dict[str, AnyService]:
    return {name: service for name, service in every().items() if service.layout is not None}


def _named(name: str) -> AnyService:
    services = _replayable()
    if name not in services:
        raise SettingsError("unknown service", name, f"one of {', '.join(sorted(services))}")
    return services[name]


def _opened(
    named: AnyService | None, given: Given, tally: ReplayTally, largest: int
) -> Callable[[str, BinaryIO], Iterator[Item]]:
    """Return what makes events of one capture: cut by its type's layout, tagged by its transform."""
    made: dict[str, tuple[Layout, Callable[[list[Item]], list[Item]]]] = {}

    def opened(path: str, stream: BinaryIO) -> Iterator[Item]:
        first = _head(path, given.client)
        if first.startswith(POISON_MARK):
            tally.retried += 1
            yield from again(stream.read(), given.settings, largest)
            return
        service = named or recognise(path, first)
        if service is None:
            detail = f"object not recognised: {path}: name its type with --service"
            yield Poison("not_recognised", detail, Origin("replay", object=path))
            return
        if service.name not in made:
            unit = replay_unit(service, given.settings)
            made[service.name] = unit.layout(), apply(service.transform(unit), largest)
        layout, transform = made[service.name]
        for piece in read(stream, layout.of(path), DecodeLimits()):
            origin = Origin(service.name, object=path, record=piece.records - piece.count)
            yield from transform([Block(piece.payload, piece.count, origin, header=piece.header)])

    return opened


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
    told = f"{tally.events.total()} events of {tally.objects} objects, {tally.poisons} not readable"
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
        "unread": tally.unread,
    }


def _told(item: Poison) -> dict[str, object]:
    origin = item.origin
    return {"object": origin.object, "record": origin.record, "reason": item.reason, "detail": item.detail}
