"""What is in quarantine, tried once more: `flows replay QUARANTINE`, after what was wrong has been mended.

An S3 object is opened again behind the records that were delivered; a queue message, whose bytes are in the
file, is opened as if it had just come; a broken event goes through its transform again. The files stay:
delete them when the replay has delivered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from threading import Event

from flows.aws import apply
from flows.catalogue.build import object_opener
from flows.catalogue.service import Context, Unit
from flows.catalogue.services import units
from flows.config.load import Settings
from sinks.frame import TOO_LARGE
from sinks.quarantine import from_json
from sources.lease import LeaseSource
from sources.notice import ObjectRef
from sources.opener import Cut
from sources.sqs import Message
from transforms.block import Block, Item, Origin, Poison

MARK = b'{\n "v": 1,\n "reason": '
"""How a quarantine file begins."""

_MESSAGES = frozenset({"notice_unknown", "message_unknown"})


def again(content: bytes, settings: Settings | None) -> Iterator[Item]:
    """Yield what a quarantine file becomes now; the poison itself when it can become nothing."""
    poison = from_json(content)
    unit = _unit(poison.origin, settings)
    if unit is None:
        detail = f"{poison.detail}; no input of --config has its service {poison.origin.service}"
        yield replace(poison, detail=detail)
        return
    whole = replace(unit, environment="") if _has_fields(poison) else unit
    yield from apply(unit.service.transform(whole))(list(_raw(poison, unit)))


def _has_fields(poison: Poison) -> bool:
    """Tell whether it was too large for an output only: then the transform has added its fields already."""
    return poison.reason == TOO_LARGE and not poison.origin.object


def _unit(origin: Origin, settings: Settings | None) -> Unit | None:
    """Return the unit that it came from: of its service, in its account if several have that."""
    running = [unit for unit in units(settings) if unit.service.name == origin.service] if settings else []
    mine = [unit for unit in running if origin.region in unit.options.regions]
    return next(iter(mine or running), None)


def _raw(poison: Poison, unit: Unit) -> Iterator[Item]:
    origin = poison.origin
    if poison.reason in _MESSAGES:
        message = Message("", "", poison.body.decode(), queue=origin.container, region=origin.region)
        source = unit.service.source(unit, Context(Event()))
        if isinstance(source, LeaseSource):
            yield from _items(source.opener.open(message, lambda _id: 0))
    elif origin.object.startswith("s3://"):
        yield from _rest(poison, unit)
    else:
        yield Block(poison.body, max(1, poison.body.count(b"\n")), origin)


def _rest(poison: Poison, unit: Unit) -> Iterator[Item]:
    """Yield the object behind what was delivered; of a broken event only that event."""
    bucket, _, key = poison.origin.object.removeprefix("s3://").partition("/")
    opener, _ = object_opener(unit)
    found = _items(opener.one(ObjectRef(bucket, key, region=poison.origin.region), poison.origin.record))
    if not poison.body:
        yield from found
        return
    for item in found:
        if isinstance(item, Poison):
            yield item
            return
        lines = item.payload.splitlines(keepends=True)[: max(1, poison.body.count(b"\n"))]
        yield replace(item, payload=b"".join(lines), count=len(lines))
        return


def _items(cuts: Iterable[Cut]) -> Iterator[Item]:
    return (item for cut in cuts for item in cut.items)
