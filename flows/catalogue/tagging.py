"""From a unit's settings to its tags: what the transforms of all services have in common."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from flows.catalogue.service import ConfiguredService
from flows.catalogue.telemetry import table_missing
from flows.config.base import ServiceSettings, TypedSettings
from sources.apis.window import now_ms
from transforms import cloudfront, cloudtrail, tagged, umbrella, vpcflow
from transforms.block import Transform
from transforms.line_logs import LineLogOptions
from transforms.tagged import Stamp
from transforms.tags import TagRule

if TYPE_CHECKING:
    from flows.catalogue.line_logs import NonCloudwatchLogsSettings
    from flows.config.objects import SqsLogsSettings

_Lines: TypeAlias = "NonCloudwatchLogsSettings | SqsLogsSettings"


def rule(unit: ConfiguredService[ServiceSettings], template: str) -> TagRule:
    """Return how the unit's tags are made: the configuration's tag, else the service's."""
    whole = unit.organization
    named = whole.directory.name if whole and whole.named_as_tag else None
    return TagRule(unit.options.tag or template, unit.options.tag_suffix, named)


def stamp(unit: ConfiguredService[ServiceSettings]) -> Stamp:
    """Return the fields that the unit's JSON events get."""
    whole = unit.organization
    named = whole.directory.name if whole and whole.named else None
    return Stamp(unit.environment, now_ms if unit.options.devo_pulling_id else None, named)


def one_table(template: str) -> Callable[[ConfiguredService[ServiceSettings]], Transform]:
    """JSON events that all belong to one table."""
    return lambda unit: tagged.transform(rule(unit, template), stamp(unit))


def cloudtrail_records(
    unit: ConfiguredService[ServiceSettings], *, auto_event_type: bool, place_of_event: bool = True
) -> Transform:
    """CloudTrail records."""
    return cloudtrail.transform(
        cloudtrail.CloudTrailOptions(
            tag=rule(unit, cloudtrail.TEMPLATE),
            auto_event_type=auto_event_type,
            place_of_event=place_of_event,
            stamp=stamp(unit),
            tables=unit.tables,
            unknown=partial(table_missing, unit.service.name),
        )
    )


def flow_logs(unit: ConfiguredService[_Lines]) -> Transform:
    """VPC flow log lines."""
    return vpcflow.transform(_of_lines(unit, vpcflow.TEMPLATE))


def web_logs(unit: ConfiguredService[_Lines]) -> Transform:
    """CloudFront log lines."""
    return cloudfront.transform(_of_lines(unit, cloudfront.TEMPLATE))


def _of_lines(unit: ConfiguredService[_Lines], template: str) -> LineLogOptions:
    options = unit.options
    return LineLogOptions(
        tag=rule(unit, template),
        auto_event_type=options.auto_event_type is not False,
        event_type=options.event_type,
        json=options.format == "json",
        stamp=stamp(unit),
    )


def umbrella_rows(unit: ConfiguredService[TypedSettings]) -> Transform:
    """Cisco Umbrella rows."""
    tag, event_type = rule(unit, umbrella.TEMPLATE), unit.options.event_type
    return umbrella.transform(LineLogOptions(tag, event_type=event_type))
