"""From a unit's settings to its transform: one function for each kind of payload."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flows.catalogue.service import Unit
from sources import telemetry
from sources.apis.window import now_ms
from transforms import cloudfront, cloudtrail, eventbridge, tagged, umbrella, vpcflow
from transforms.block import Transform
from transforms.tagged import Stamp
from transforms.tags import TagRule


def rule(unit: Unit, template: str) -> TagRule:
    """Return how the unit's tags are made: the configuration's tag, else the service's."""
    return TagRule(unit.options.tag or template, unit.options.tag_suffix)


def stamp(unit: Unit) -> Stamp:
    """Return the fields that the unit's JSON events get."""
    return Stamp(unit.environment, now_ms if unit.options.devo_pulling_id else None)


def records(unit: Unit) -> Transform:
    """CloudTrail records."""
    options = unit.options
    dropped, own = frozenset(options.drop_event_names), options.use_region_and_account_id_from_event
    made = rule(unit, cloudtrail.TEMPLATE)
    on_drop = partial(telemetry.events_dropped, unit.service.name)
    return cloudtrail.transform(
        cloudtrail.Options(made, options.auto_event_type, dropped, own, stamp(unit), on_drop)
    )


def lines(kind: Any) -> Callable[[Unit], Transform]:
    """VPC flow or CloudFront lines; kind: the module that knows them."""

    def build(unit: Unit) -> Transform:
        options = unit.options
        as_json = options.format == "json"
        made = rule(unit, kind.TEMPLATE)
        chosen = kind.Options(made, options.auto_event_type, options.event_type, as_json, stamp(unit))
        transform: Transform = kind.transform(chosen)
        return transform

    return build


flow_logs, web_logs = lines(vpcflow), lines(cloudfront)


def umbrella_rows(unit: Unit) -> Transform:
    """Cisco Umbrella rows."""
    return umbrella.transform(umbrella.Options(rule(unit, umbrella.TEMPLATE), unit.options.event_type))


def envelopes(unit: Unit) -> Transform:
    """EventBridge envelopes."""
    options, made = unit.options, rule(unit, eventbridge.TEMPLATE)
    mapping = options.event_type_processor_mapping
    return eventbridge.transform(eventbridge.Options(made, options.auto_event_type, mapping, stamp(unit)))


def one_table(template: str) -> Callable[[Unit], Transform]:
    """JSON events that all belong to one table."""
    return lambda unit: tagged.transform(rule(unit, template), stamp(unit))
