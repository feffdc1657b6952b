"""What makes a `Service` of a type of S3 objects: the values in object_types.py need nothing else.

ObjectType(name, about, tag, layout, detect)    is enough for events that pass as they are
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from flows.catalogue import build
from flows.catalogue.filters import covered, filters_of
from flows.catalogue.service import OBJECTS, QUEUE, ConfiguredService, Service
from flows.catalogue.tagging import stamp
from flows.config.objects import SqsLogsSettings
from transforms import routed
from transforms.block import Block, Transform
from transforms.columns import Columns
from transforms.fields import KeyFields, RecordField
from transforms.layout import Layout
from transforms.tagged import NO_STAMP
from transforms.tags import FALLBACK, TagRule

SqsUnit: TypeAlias = ConfiguredService[SqsLogsSettings]
Detect: TypeAlias = Callable[[str, bytes], bool]
"""Key and first decoded bytes of an object → whether it is one."""

JSON_LINES = Layout(values=True)
"""JSON values one after another, each one event."""


class ObjectType(Struct, frozen=True):
    """A type of objects.

    name: its key under `services`. about: for the reference. tag: with {event_type} of `kind`, told by the
    key and the first event of a block, and [record-…] of `fields`, told by each event, and [file-…] of
    `key_fields`, told by the key. layout: how objects
    are cut. detect: None for types whose objects another type claims. text: its events are no JSON;
    some_json: but may be, under these settings. columns: how its lines are divided, for rules. event_name:
    the way to what names an event.
    mixed: pattern of its keys in a queue of several types, "" = it does not come so. own: the
    transform of a type that needs more than a tag. digests, protected: see `Service`.
    """

    name: str
    about: str
    tag: str
    layout: Layout
    detect: Detect | None = None
    kind: Callable[[str, bytes], str] = lambda _key, _line: FALLBACK
    fields: tuple[RecordField, ...] = ()
    key_fields: KeyFields = lambda _key: {}
    text: bool = False
    some_json: Callable[[SqsLogsSettings], bool] = lambda _options: False
    columns: Columns | None = None
    event_name: tuple[str, ...] = ()
    mixed: str = ""
    own: Callable[[SqsUnit], Transform] | None = None
    digests: str = ""
    protected: bool = False


def _kind(options: SqsLogsSettings, one: ObjectType) -> Callable[[Block], str]:
    """Return what finds a block's event type: the configuration's patterns, else the type itself."""

    def kind(block: Block) -> str:
        key = block.origin.key
        return options.event_type(key) or one.kind(key, block.payload.partition(b"\n")[0])

    return kind


def _is_text(one: ObjectType, options: SqsLogsSettings) -> bool:
    return one.text if options.file_format is None else not options.file_format.of_json


def service(one: ObjectType) -> Service[SqsLogsSettings]:
    """Return the service of a type."""

    def layout(options: SqsLogsSettings) -> Layout:
        return options.file_format.layout() if options.file_format else one.layout

    return Service(
        name=one.name,
        service_key=one.name,
        settings=SqsLogsSettings,
        source=build.objects,
        transform=lambda unit: _transform(unit, one),
        calls=(*QUEUE, *OBJECTS),
        layout=layout,
        detect=one.detect,
        placed=one.tag.startswith("cloud.aws."),
        is_text=lambda options: _is_text(one, options) and not one.some_json(options),
        columns=one.columns,
        event_name=one.event_name,
        about=one.about,
        digests=one.digests,
        protected=one.protected,
    )


def _transform(unit: SqsUnit, one: ObjectType) -> Transform:
    """Return a type's transform; what the settings say about filters and tags goes before it."""
    options = unit.options
    own = one.own(unit) if one.own and not options.routing_template else None
    text = _is_text(one, options)
    filters = filters_of(unit)
    filters = replace(filters, key_fields=lambda key: {**one.key_fields(key), **options.key_fields(key)})
    made = routed.transform(
        routed.RoutedOptions(
            tag=TagRule(options.routing_template or options.tag or one.tag, options.tag_suffix),
            event_type=_kind(options, one),
            key_fields=filters.key_fields,
            record_fields=(*options.record_fields, *one.fields),
            filters=filters,
            added=options.add_file_fields,
            columns=options.file_format.columns() if options.file_format else None,
            stamp=NO_STAMP if text else stamp(unit),
            base=own,
        )
    )
    return covered(made, unit)


def tagged(unit: SqsUnit, one: ObjectType) -> Transform:
    """Return what tags a type's events among others, without the filters of the settings."""
    if one.own:
        return one.own(unit)
    options = unit.options
    return routed.transform(
        routed.RoutedOptions(
            TagRule(options.tag or one.tag, options.tag_suffix),
            event_type=_kind(options, one),
            key_fields=one.key_fields,
            record_fields=one.fields,
            stamp=NO_STAMP if one.text else stamp(unit),
        )
    )
