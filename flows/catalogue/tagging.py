"""From a unit's settings to its transform: one function for each kind of payload."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flows.catalogue.service import ConfiguredService
from sources import telemetry
from sources.apis.window import now_ms
from transforms import cloudfront, cloudtrail, eventbridge, tagged, umbrella, vpcflow
from transforms.block import Transform
from transforms.tagged import Stamp
from transforms.tags import TagRule


def rule(unit: ConfiguredService, template: str) -> TagRule:
    """Return how the unit's tags are made: the configuration's tag, else the service's."""
    return TagRule(unit.options.tag or template, unit.options.tag_suffix)


def stamp(unit: ConfiguredService) -> Stamp:
    """Return the fields that the unit's JSON events get."""
    return Stamp(unit.environment, now_ms if unit.options.devo_pulling_id else None)


def records(unit: ConfiguredService) -> Transform:
    """CloudTrail records."""
    options = unit.options
    dropped, own = frozenset(options.drop_event_names), options.use_region_and_account_id_from_event
    made = rule(unit, cloudtrail.TEMPLATE)
    on_drop = partial(telemetry.events_dropped, unit.service.name)
    return cloudtrail.transform(
        cloudtrail.CloudTrailOptions(made, options.auto_event_type, dropped, own, stamp(unit), on_drop)
    )


def lines(kind: Any, made: Callable[..., Any]) -> Callable[[ConfiguredService], Transform]:
    """VPC flow or CloudFront lines. kind: the module that knows them; made: makes its options."""

    def build(unit: ConfiguredService) -> Transform:
        options = unit.options
        as_json = options.format == "json"
        tag = rule(unit, kind.TEMPLATE)
        chosen = made(tag, options.auto_event_type, options.event_type, as_json, stamp(unit))
        transform: Transform = kind.transform(chosen)
        return transform

    return build


flow_logs = lines(vpcflow, vpcflow.VpcFlowOptions)
web_logs = lines(cloudfront, cloudfront.CloudFrontOptions)


def umbrella_rows(unit: ConfiguredService) -> Transform:
    """Cisco Umbrella rows."""
    return umbrella.transform(
        umbrella.UmbrellaOptions(rule(unit, umbrella.TEMPLATE), unit.options.event_type)
    )


def envelopes(unit: ConfiguredService) -> Transform:
    """EventBridge envelopes."""
    options, made = unit.options, rule(unit, eventbridge.TEMPLATE)
    mapping = options.event_type_processor_mapping
    return eventbridge.transform(
        eventbridge.EventBridgeOptions(made, options.auto_event_type, mapping, stamp(unit))
    )


def one_table(template: str) -> Callable[[ConfiguredService], Transform]:
    """JSON events that all belong to one table."""
    return lambda unit: tagged.transform(rule(unit, template), stamp(unit))
