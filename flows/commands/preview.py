"""`python -m flows preview`: the exact bytes that would go to Devo for what a service holds now.

Queues keep what they had: messages are received, opened, shown and handed back. Only their receive counts
grow, which a redrive policy counts too; so they are told. APIs are asked for their last hour, once; no
position moves.
"""

import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from flows.catalogue.service import RunContext, Unit
from flows.catalogue.services import units
from flows.config.load import Settings, SettingsError, load
from flows.process.runtime import log_to_stderr
from flows.steps import apply
from sinks.frame import Framer, guard
from sinks.outputs import event_limit
from sources.apis.cursor import CursorSource
from sources.apis.poll import Rest, Target
from sources.errors import Denied, SourceError
from sources.listed.listed_source import ListedSource
from sources.queues.lease import LeaseSource
from sources.queues.message_opener import MessageOpener
from sources.queues.sqs import Message, Queue, SqsQueue, lots
from transforms.block import Block, Item, Poison

_HOLD_SECONDS, _WAIT_SECONDS = 120, 2
_LOOK_BACK = timedelta(hours=1)


def preview(config: Path | None, service: str, most: int) -> int:
    """Show up to `most` events of each unit of a service; 0 when all could be had, 1 when not."""
    settings = load(config)
    log_to_stderr(debug=settings.globals.debug)
    output = next(iter(settings.outputs.values())).config
    framer, failed = Framer.of(output), False
    limit_of = partial(event_limit, tuple(settings.outputs.values()))
    for unit in units_of(settings, service):
        try:
            with closing(_items(unit)) as items:
                for line in islice(_lines(items, framer, limit_of), most):
                    sys.stdout.buffer.write(line)
        except SourceError as error:
            _tell(str(error))
            failed = True
        sys.stdout.buffer.flush()
    return 1 if failed else 0


def units_of(settings: Settings, service: str) -> list[Unit]:
    """Return the units that `--service` names, by service or by setting. Raises SettingsError."""
    running = units(settings)
    found = [unit for unit in running if service in {unit.service.name, unit.service_key}]
    if not found:
        names = ", ".join(dict.fromkeys(unit.name for unit in running))
        raise SettingsError("no such service is enabled", f"--service {service}", f"name one of {names}")
    return found


def _lines(items: Iterable[Item], framer: Framer, limit_of: Callable[[str], int]) -> Iterator[bytes]:
    """Yield the lines of the wire; for what would go to quarantine, its reason."""
    for item in items:
        for fit in guard(item, limit_of(item.tag)) if isinstance(item, Block) else [item]:
            if isinstance(fit, Poison):
                _tell(f"would go to quarantine: {fit.reason}: {fit.detail}")
            else:
                yield from b"".join(framer(fit)).splitlines(keepends=True)


def _items(unit: Unit) -> Generator[Item, None, None]:
    """Yield what a unit's transform makes of what its source holds."""
    source = unit.service.source(_recent(unit), RunContext(threading.Event()))
    transform = apply(unit.service.transform(unit))
    raw = _of_source(source)
    with closing(raw):
        for item in raw:
            yield from transform([item])


def _recent(unit: Unit) -> Unit:
    """Return the unit with the last hour to show: an API's own beginning is now."""
    return replace(unit, options=unit.options.beginning(datetime.now(UTC) - _LOOK_BACK))


def _of_source(source: object) -> Generator[Item, None, None]:
    if isinstance(source, LeaseSource):
        return _of_queues(source)
    return _of_listing(source) if isinstance(source, ListedSource) else _of_api(source)


def _of_listing(source: ListedSource) -> Generator[Item, None, None]:
    """Yield what a listing shows now; its position is nobody's."""
    source.queue.load(None)
    _tell(f"{source.queue.queue.where}: what came in the last hour")
    while messages := source.queue.receive(_WAIT_SECONDS, _HOLD_SECONDS):
        for message in messages:
            with closing(source.opener.open(message, lambda _id: 0)) as cuts:
                for cut in cuts:
                    yield from cut.items


def _of_api(source: object) -> Generator[Item, None, None]:
    if not isinstance(source, CursorSource):
        raise TypeError(f"no such source: {source!r}")
    poll = source.poll
    for target in poll.targets():
        if not isinstance(target, Target):
            _tell(str(target.error if isinstance(target, Rest) else target))
            continue
        for page in poll.pages(target, {}):
            yield from page.items


def _of_queues(source: LeaseSource) -> Generator[Item, None, None]:
    for queue in source.queues:
        if isinstance(queue, Queue):
            yield from _of_queue(SqsQueue(queue), source.opener)


def _of_queue(queue: SqsQueue, opener: MessageOpener) -> Iterator[Item]:
    held: list[Message] = []
    _tell(f"{queue.queue.where}: {_depth(queue)} before")
    try:
        while messages := queue.receive(_WAIT_SECONDS, _HOLD_SECONDS):
            held += messages
            for message in messages:
                with closing(opener.open(message, lambda _id: 0)) as cuts:
                    for cut in cuts:
                        yield from cut.items
    finally:
        _hand_back(queue, held)


def _hand_back(queue: SqsQueue, held: list[Message]) -> None:
    outcomes = [
        outcome
        for lot in lots(held)
        for outcome in queue.change([message.receipt_handle for message in lot], [0] * len(lot))
    ]
    failed = [outcome for outcome in outcomes if outcome]
    for error in failed:
        _tell(f"{error}; it is visible again in {_HOLD_SECONDS} s")
    receives = max((message.receives for message in held), default=0)
    given = f"{len(held) - len(failed)} messages handed back, receive count {receives} at most"
    _tell(f"{queue.queue.where}: {_depth(queue)} after; {given}")


def _depth(queue: SqsQueue) -> str:
    try:
        visible, in_flight = queue.depth()
    except Denied:
        return "messages not known (sqs:GetQueueAttributes is not allowed)"
    return f"{visible} messages visible, {in_flight} in flight"


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
