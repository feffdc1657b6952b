"""What is in quarantine, tried once more: `flows replay QUARANTINE`, after what was wrong has been mended.

An S3 object is opened again behind the records that were delivered; a queue message, whose bytes are in the
file, is opened as if it had just come; a broken event goes through its transform again; a too large one is
looked for in its object. The files stay: delete them when the replay has delivered.
"""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import islice
from threading import Event

from msgspec.structs import replace

from flows.catalogue.build import object_opener, reads_objects
from flows.catalogue.service import RunContext, Unit
from flows.catalogue.services import units
from flows.config.load import Settings
from flows.steps import apply
from sinks.frame import TOO_LARGE
from sinks.quarantine import from_json
from sources.errors import ObjectBroken
from sources.objects.decode import DecodeLimits, read
from sources.objects.object_ref import ObjectRef
from sources.queues.lease import LeaseSource
from sources.queues.message_opener import ObjectBatch
from sources.queues.s3 import BUCKET_UNEXPECTED, NOTICE_UNKNOWN
from sources.queues.sqs import Message
from transforms.block import Block, Item, Origin, Poison
from transforms.layout import Layout

_DAMAGES = frozenset({"json_broken", "records_missing"})
_MESSAGES = frozenset({NOTICE_UNKNOWN, BUCKET_UNEXPECTED, "message_unknown"})


def again(content: bytes, settings: Settings | None, largest: int) -> Iterator[Item]:
    """Yield what a quarantine file becomes now; the poison itself when it can become nothing.

    largest: bytes of the largest event that outputs take.
    """
    poison = from_json(content)
    unit = _unit(poison.origin, settings)
    if unit is None:
        detail = f"{poison.detail}; no input of --config has its service {poison.origin.service}"
        yield replace(poison, detail=detail)
    elif poison.reason != TOO_LARGE or not poison.body:
        yield from apply(unit.service.transform(unit), largest)(list(_raw(poison, unit)))
    elif _in_s3(poison):
        yield _found(poison, apply(unit.service.transform(unit), largest), _object(poison, unit))
    else:  # its transform has added its fields already
        transform = unit.service.transform(replace(unit, environment=""))
        yield from apply(transform, largest)([_block(poison)])


def _unit(origin: Origin, settings: Settings | None) -> Unit | None:
    """Return the unit that it came from: of its service, in its account if several have that."""
    running = [unit for unit in units(settings) if unit.service.name == origin.service] if settings else []
    mine = [unit for unit in running if origin.region in unit.regions]
    return next(iter(mine or running), None)


def _raw(poison: Poison, unit: Unit) -> Iterator[Item]:
    """Yield what the transform gets of it."""
    origin = poison.origin
    if poison.reason in _MESSAGES:
        message = Message("", "", poison.body.decode(), queue=origin.container, region=origin.region)
        source = unit.service.source(unit, RunContext(Event()))
        if isinstance(source, LeaseSource):
            yield from _items(source.opener.open(message, lambda _id: 0))
    elif poison.reason in _DAMAGES and poison.body:
        yield from _mended(poison, unit)
    elif not _in_s3(poison):
        yield _block(poison)
    elif not poison.body:
        yield from _object(poison, unit)
    else:  # rows, for their header; of a line too long the file has the beginning
        whole = poison.reason in {"line_too_long", "record_too_large"}
        for item in islice(_object(poison, unit), 1):
            row = item.payload.partition(b"\n")[0] if whole and isinstance(item, Block) else poison.body
            yield _block(replace(poison, body=row), item.header) if isinstance(item, Block) else item


def _mended(poison: Poison, unit: Unit) -> Iterator[Item]:
    """Yield what a damaged record holds, whose body was mended; itself when it was not."""
    layout = unit.layout().of(poison.origin.key)
    if not layout.values:
        layout = Layout(values=True)  # a record of an array stands alone
    try:
        for piece in read(BytesIO(poison.body), layout, DecodeLimits()):
            yield Block(piece.payload, piece.count, poison.origin) if not piece.reason else poison
    except ObjectBroken as error:
        yield replace(poison, detail=f"{poison.detail}; it is damaged still ({error.what})")


def _in_s3(poison: Poison) -> bool:
    return poison.origin.object.startswith("s3://")


def _object(poison: Poison, unit: Unit) -> Iterator[Item]:
    """Yield its object from its record on."""
    bucket, _, key = poison.origin.object.removeprefix("s3://").partition("/")
    if not reads_objects(unit):
        return iter(())
    opener, _ = object_opener(unit)
    return _items(opener.one(ObjectRef(bucket, key, region=poison.origin.region), poison.origin.record))


def _items(cuts: Iterable[ObjectBatch]) -> Iterator[Item]:
    return (item for cut in cuts for item in cut.items)


def _block(poison: Poison, header: bytes = b"") -> Block:
    """Return its body as a block; the one event of a body has no newline of its own."""
    payload = poison.body if poison.body.endswith(b"\n") else poison.body + b"\n"
    return Block(payload, payload.count(b"\n"), poison.origin, header=header)


def _found(poison: Poison, transform: Callable[[list[Item]], list[Item]], items: Iterable[Item]) -> Item:
    """Return the event as it stands in its object, with its tag; the poison when it is not there any more."""
    wanted = b"\n" + poison.body + b"\n"
    for item in items:
        for made in transform([item]):
            if isinstance(made, Block) and wanted in b"\n" + made.payload:
                return replace(made, payload=wanted[1:], count=1)
    return replace(poison, detail=f"{poison.detail}; its object does not hold it as it was")
