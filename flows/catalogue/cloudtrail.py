"""CloudTrail, from its API (`audits_api`) and from its trails in S3 (`audits_s3`)."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from threading import Event
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema

from flows.catalogue import build
from flows.catalogue.calls import PUBLIC_KEYS, ApiCall, PlanScope, polls
from flows.catalogue.delays import AUTO, max_reach, overlap, settle
from flows.catalogue.filters import sifted
from flows.catalogue.probe import Probe, Told
from flows.catalogue.service import OBJECTS, QUEUE, ConfiguredService, Service
from flows.catalogue.tagging import cloudtrail_records
from flows.config.base import ObjectsSettings
from flows.config.polled import recheck_setting
from flows.config.types import Moment, OneOrMany, OneOrSeveral, RequestLimit, one_or_many
from sources.apis.cloudtrail import RATES, LookupEvents, LookupOptions
from sources.apis.poll import Poll
from sources.aws.limiter import Limiters
from transforms import cloudtrail
from transforms.block import Transform
from transforms.layout import Layout
from transforms.setting import setting

_LOOKUP_PAGE = 50
_DEFAULT = LookupOptions(())


_SPELT = {"audit_apis": "audits_api"}
"""Another spelling in Devo's documentation."""


def _as_we_spell(kinds: object) -> object:
    return [_SPELT.get(str(kind), kind) for kind in kinds] if isinstance(kinds, list) else kinds


_TYPES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "enum": ["audits_api", "audits_s3", *_SPELT]},
}


class AuditEventsSettings(ObjectsSettings):
    """`audit-events-all`: CloudTrail, from its API (`audits_api`) or from S3 (`audits_s3`)."""

    types: Annotated[
        tuple[Literal["audits_api", "audits_s3"], ...],
        Field(min_length=1),
        BeforeValidator(_as_we_spell),
        BeforeValidator(one_or_many),
        WithJsonSchema(_TYPES),
    ] = setting(("audits_api",), example=["audits_s3"])
    """Where to read from; audit_apis is audits_api"""
    audit_sqs_queue_name: str | None = setting(None, example="cloudtrail", min_length=1, queue_of="audits_s3")
    """Name or URL of the queue, for audits_s3"""
    request_period_in_seconds: float = setting(300, example=60, unit="seconds", gt=0)
    """For audits_api: from one poll of a region to the next"""
    requests_per_second: float | None = setting(None, example=2, unit="requests/s", gt=0)
    """For audits_api; AWS allows 2"""
    requests_limits: OneOrSeveral[RequestLimit] = setting((), example=[])
    """For audits_api, as elsewhere: most requests in longer periods"""
    start_time: Moment | None = setting(None, example="2026-01-02T03:04:05Z")
    """For audits_api: collect from this time (ISO 8601) on, 90 days back at most. Changing it begins anew
    from there"""
    auto_event_type: bool = setting(default=False, example=True, description=AUTO)
    drop_event_names: OneOrMany[str] = setting((), example=["Decrypt"])
    """Events with these eventName are counted and not sent"""
    use_region_and_account_id_from_event: bool = setting(default=True, example=False)
    """false: account and region in tags are those that were asked, not the event's"""
    settle_seconds: int = settle(_DEFAULT.settle_seconds, "For audits_api: ")
    overlap_seconds: int = overlap(_DEFAULT.overlap_seconds, "For audits_api: ")
    max_reach_seconds: int = max_reach(_DEFAULT.max_reach_seconds, "For audits_api: ")
    recheck: Literal["daily"] | None = recheck_setting("For audits_api, ")
    collect_insights: bool = setting(default=False, example=True, ours=True)
    """For audits_api, true: read Insight events too"""
    collect_digests: bool = setting(default=False, example=True, ours=True)
    """For audits_s3, true: send CloudTrail's digest files too"""

    def beginning(self, moment: datetime) -> Self:
        """Return the settings with this start time, unless they give one."""
        listed = super().beginning(moment)
        return listed if self.start_time else listed.model_copy(update={"start_time": moment})


def _records(unit: ConfiguredService[AuditEventsSettings]) -> Transform:
    options = unit.options
    of_event = options.use_region_and_account_id_from_event
    return cloudtrail_records(unit, auto_event_type=options.auto_event_type, place_of_event=of_event)


def _poll(unit: ConfiguredService[AuditEventsSettings], limiters: Limiters, drain: Event) -> Poll:
    chosen = build.api_options(LookupOptions, unit, insights=unit.options.collect_insights)
    return LookupEvents(unit.account, chosen, limiters, drain)


def _untabled(unit: ConfiguredService[AuditEventsSettings], events: Sequence[Any]) -> Told | None:
    """Tell which services of the latest events have no table of their own."""
    sources = {str(event.get("EventSource", "")) for event in events} - {""}
    fallen = sorted(one for one in sources if not unit.tables.known(one))
    if not fallen or not unit.options.auto_event_type:
        return None
    what = f"no table for {', '.join(fallen)}: their events go to cloud.aws.cloudtrail.events"
    return what, "if Devo has one, name it in globals.tables.cloudtrail"


def _lookups(at: PlanScope[AuditEventsSettings]) -> float:
    options = at.options
    period, reach = options.request_period_in_seconds, options.overlap_seconds + options.settle_seconds
    seen = at.guess.events / polls(at) * (period + reach) / period
    kinds = 2 if options.collect_insights else 1
    return polls(at) * (ceil(seen / _LOOKUP_PAGE) or 1) + polls(at) * (kinds - 1)


AUDITS_S3 = Service(
    name="audits_s3",
    about="CloudTrail's objects in S3",
    service_key="audit-events-all",
    settings=AuditEventsSettings,
    source=build.objects,
    transform=sifted(_records),
    event_name=cloudtrail.EVENT_NAME,
    calls=(*QUEUE, *OBJECTS),
    layout=lambda options: Layout(records="Records", digests=options.collect_digests),
    detect=cloudtrail.detect,
    replayed={"auto_event_type": True},
    digests=PUBLIC_KEYS,
    protected=True,
)
AUDITS_API = Service(
    name="audits_api",
    about="CloudTrail's API: management events and Insights",
    service_key="audit-events-all",
    settings=AuditEventsSettings,
    source=build.polled(_poll, build.within(RATES, fixed=True)),
    transform=sifted(_records),
    event_name=cloudtrail.EVENT_NAME,
    calls=(ApiCall("cloudtrail:LookupEvents", _lookups),),
    probes=(
        Probe("cloudtrail:LookupEvents", "Events", lambda *_: {"MaxResults": _LOOKUP_PAGE}, tell=_untabled),
    ),
    protected=True,
)
