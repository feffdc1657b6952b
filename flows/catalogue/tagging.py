"""From a unit's settings to its tags: what the transforms of all services have in common."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from flows.catalogue.service import ConfiguredService
from flows.catalogue.telemetry import table_missing
from sources.apis.window import now_ms
from transforms import cloudfront, cloudtrail, tagged, umbrella, vpcflow
from transforms.block import Transform
from transforms.tagged import Stamp
from transforms.tags import TagRule

_OptionsT = TypeVar("_OptionsT")


class Tagged(Protocol):
    """What of a service's settings concerns its tags and the fields put into its events."""

    @property
    def tag(self) -> str | None:
        """The configuration's tag, None = the service's."""

    @property
    def tag_suffix(self) -> str:
        """Levels put after it."""

    @property
    def devo_pulling_id(self) -> bool:
        """Whether events get the time of the pull."""


class Keyed(Tagged, Protocol):
    """Of services whose objects' keys tell the event's type."""

    def event_type(self, key: str) -> str:
        """Return the event type that the configuration gives to an object's key, "" for none."""


class Lines(Keyed, Protocol):
    """Of services whose events are lines with columns."""

    @property
    def auto_event_type(self) -> bool | None:
        """Whether the tag's last level is the event's type; None = yes."""

    @property
    def format(self) -> str:
        """`raw` or `json`."""


def rule(unit: ConfiguredService[Tagged], template: str) -> TagRule:
    """Return how the unit's tags are made: the configuration's tag, else the service's."""
    return TagRule(unit.options.tag or template, unit.options.tag_suffix)


def stamp(unit: ConfiguredService[Tagged]) -> Stamp:
    """Return the fields that the unit's JSON events get."""
    return Stamp(unit.environment, now_ms if unit.options.devo_pulling_id else None)


def one_table(template: str) -> Callable[[ConfiguredService[Tagged]], Transform]:
    """JSON events that all belong to one table."""
    return lambda unit: tagged.transform(rule(unit, template), stamp(unit))


def cloudtrail_records(
    unit: ConfiguredService[Tagged], *, auto_event_type: bool, place_of_event: bool = True
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


def flow_logs(unit: ConfiguredService[Lines]) -> Transform:
    """VPC flow log lines."""
    return vpcflow.transform(_of_lines(unit, vpcflow.TEMPLATE, vpcflow.VpcFlowOptions))


def web_logs(unit: ConfiguredService[Lines]) -> Transform:
    """CloudFront log lines."""
    return cloudfront.transform(_of_lines(unit, cloudfront.TEMPLATE, cloudfront.CloudFrontOptions))


def _of_lines(
    unit: ConfiguredService[Lines], template: str, options_of: Callable[..., _OptionsT]
) -> _OptionsT:
    options = unit.options
    return options_of(
        tag=rule(unit, template),
        auto_event_type=options.auto_event_type is not False,
        event_type=options.event_type,
        json=options.format == "json",
        stamp=stamp(unit),
    )


def umbrella_rows(unit: ConfiguredService[Keyed]) -> Transform:
    """Cisco Umbrella rows."""
    return umbrella.transform(
        umbrella.UmbrellaOptions(rule(unit, umbrella.TEMPLATE), unit.options.event_type)
    )
