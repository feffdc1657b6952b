"""From a unit's settings to what is left out of its events, and hidden in them; the same for all."""

from collections.abc import Iterator
from functools import partial

from flows.catalogue.service import AnyService, Made, Unit
from flows.config.base import ObjectsSettings, ServiceSettings
from sources import telemetry
from transforms.block import Transform
from transforms.fields import RecordField
from transforms.filters import Filters, Rule, filtered
from transforms.masking import Mask, masked

_NAME = "drop_event_names"


def filters_of(unit: Unit) -> Filters:
    """Return what the settings of a unit drop."""
    options, service = unit.options, unit.service
    by_name = {_NAME: (Rule("record", _NAME, options.drop_event_names),)} if options.drop_event_names else {}
    named = (RecordField(_NAME, service.event_name),) if by_name else ()
    keys = {"key_fields": options.key_fields} if isinstance(options, ObjectsSettings) else {}
    return Filters(
        rules={**by_name, **options.filter_rules},
        record_fields=(*options.record_fields, *named),
        columns=service.columns,
        dropped=partial(telemetry.events_dropped, service.name),
        **keys,
    )


def mask_of(options: ServiceSettings) -> Mask | None:
    """Return what the settings hide."""
    return Mask(options.mask.keys, options.mask.with_) if options.mask else None


def sifted(made: Made) -> Made:
    """Return what makes a unit's transform, with its filters before and its mask behind.

    Without any, the transform is the very same: nothing else is called for a block.
    """
    return lambda unit: covered(filtered(made(unit), filters_of(unit)), unit)


def covered(transform: Transform, unit: Unit) -> Transform:
    """Return a transform whose events have the unit's mask on; without one, the same."""
    return masked(transform, mask_of(unit.options))


def impossible(service: AnyService, options: ServiceSettings) -> Iterator[tuple[str, str]]:
    """Yield what the settings want that the events of a service do not have, each with a hint."""
    if options.drop_event_names and not service.event_name:
        yield f"drop_event_names: events of {service.name} have no names", "use line_filter_rules"
    if not service.is_text(options):
        return
    if options.mask:
        yield f"mask: events of {service.name} are text", "only fields of JSON can be masked: format: json"
    if options.record_field_mapping and service.columns is None:
        yield f"record_field_mapping: events of {service.name} are text", "use rules on the line"
