"""`python -m flows recheck`: a second look at a finished range of an API service; what came later is sent.

What was collected is known by its ids beside the state (`sources/collected.py`). Each event that is found is
delivered as `flows run` would, then its id is kept: the next look finds nothing. Exit code 0: nothing came
later; 1: something did, and it was sent; 2: it could not look, at all of it or at some targets.
"""

import json
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from threading import Event

from msgspec import Struct

from flows.aws import s3_of
from flows.catalogue.build import collected_folder
from flows.catalogue.service import RunContext, Unit, chosen
from flows.catalogue.services import units
from flows.commands.moments import between
from flows.commands.one_shot import deliver_all
from flows.config.load import Settings, SettingsError, load
from flows.journal import keeping
from flows.process.memory import reuse_blocks
from flows.process.recovery_store import prepare
from flows.process.runtime import drain_on_signals, log_to_stderr
from sources.apis.cursor import CursorSource
from sources.apis.poll import Poll, Rest, Target
from sources.apis.window import Window, to_ms
from sources.collected import CollectedIds
from sources.errors import SourceError
from sources.listed.recheck import LateSource

_SECONDS = 1.0
_COULD_NOT_LOOK = 2


class RecheckRequest(Struct, frozen=True):
    """What to look at. service: name or setting. state: recovery directory, None = the configuration's."""

    service: str
    start: str
    end: str
    state: Path | None = None


def recheck(config: Path | None, wanted: RecheckRequest, *, as_json: bool) -> int:
    """Look, send what is found, and say it; see the module for the exit code."""
    settings = load(config)
    log_to_stderr(debug=settings.globals.debug, ends=True)
    reuse_blocks()
    unit = unit_of(settings, wanted.service)
    state = wanted.state or settings.state_directory
    if state is None:
        raise SettingsError("a second look needs the state", "globals.persistence", "name a folder there")
    ids = CollectedIds(collected_folder(state, unit))
    drain = drain_on_signals()
    poll = _poll(unit, drain)
    window = _window(*between(wanted.start, wanted.end))
    targets, failed = _targets(poll, ids, window)
    source = LateSource(poll, ids, targets, window, drain)
    if targets:
        try:
            _run(settings, unit, source)
            source.keep()
        except SourceError as error:  # a journal that takes no rows: the next look finds the same
            failed[error.where] = error
    failed.update(source.failed)
    _tell(source, failed, as_json=as_json)
    if failed or drain.is_set():
        return _COULD_NOT_LOOK
    return 1 if source.events else 0


def unit_of(settings: Settings, service: str) -> Unit:
    """Return the one unit of the configuration that `--service` names. Raises SettingsError."""
    able = [unit for unit in units(settings) if not unit.options.queues(unit.service.name)]
    return chosen(able, service, "no such API service is enabled")


def _poll(unit: Unit, drain: Event) -> Poll:
    source = unit.service.source(unit, RunContext(drain))
    if not isinstance(source, CursorSource):
        raise SettingsError("service asks no API", unit.service.name, "name one that does")
    return source.poll


def _window(start: datetime, end: datetime) -> Window:
    return Window(to_ms(start), to_ms(end))


def _targets(poll: Poll, ids: CollectedIds, window: Window) -> tuple[list[Target], dict[str, SourceError]]:
    """Return the targets whose range is finished, and why the others cannot be looked at."""
    targets: list[Target] = []
    failed: dict[str, SourceError] = {}
    for one in poll.targets():
        if isinstance(one, Rest):
            failed[one.account] = one.error or SourceError(
                "is suspended", one.account, "nothing is asked of it"
            )
        elif isinstance(one, SourceError):
            failed[one.where] = one
        elif (found := ids.range(one.key)) is None:
            hint = "let the collector run with its state beside it"
            failed[one.key] = SourceError("nothing is known of what was collected", one.key, hint)
        elif found.final < window.end:
            failed[one.key] = SourceError("the range is not finished yet", one.key, "choose an earlier --to")
        else:
            targets.append(one)
    return targets, failed


def _run(settings: Settings, unit: Unit, source: LateSource) -> None:
    transform = unit.service.transform(unit)
    if settings.journal:
        book = keeping.begin(settings.journal, source.drain, s3_of([unit]))
        source.journal, source.owner = book, unit.account.name
        transform = book.counted(transform, unit.account.name)
    flow = unit, source, transform
    with tempfile.TemporaryDirectory(prefix="recheck-") as folder:
        prepare(Path(folder) / "state", first=True)
        deliver_all(settings, flow, source.drain, Path(folder) / "state", _SECONDS)


def _tell(source: LateSource, failed: dict[str, SourceError], *, as_json: bool) -> None:
    late = dict(source.counts)
    if as_json:
        told = {
            "events": source.events,
            "late": late,
            "failed": {key: str(one) for key, one in failed.items()},
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return
    sys.stderr.writelines(_lines(source, late, failed))


def _lines(source: LateSource, late: dict[str, int], failed: dict[str, SourceError]) -> Iterable[str]:
    for key, count in late.items():
        yield f"{key}: {count} events came later than the reach; sent\n"
    for error in failed.values():
        yield f"could not look: {error}\n"
    yield f"{source.events} events sent, {len(source.targets)} targets looked at, {len(failed)} not\n"
