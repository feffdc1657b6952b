"""The catalogue: what can be collected, one value each.

`CATALOGUE` holds the services of Devo's AWS collector, `OBJECT_TYPES` (in object_types.py) those of its SQS
collector. A new type that comes as S3 objects is one more value there, and golden files.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flows.catalogue import build, polls, tagging
from flows.catalogue.object_types import CUSTOM, OBJECT_TYPES
from flows.catalogue.service import OBJECTS, QUEUE, ConfiguredService, Permission, Service
from flows.config.load import Settings
from flows.config.objects import SqsLogsSettings
from flows.config.services import AuditEventsSettings, CiscoUmbrellaSettings, NonCloudwatchLogsSettings
from sources.apis.cloudtrail import RATES as LOOKUP_RATES
from sources.apis.cloudwatch_logs import RATES as LOGS_RATES
from sources.apis.cloudwatch_metrics import RATES as METRICS_RATES
from sources.aws.account import Account
from sources.queues import events
from transforms import (
    cloudfront,
    cloudtrail,
    cloudwatch_logs,
    cloudwatch_metrics,
    guardduty,
    securityhub,
    umbrella,
    vpcflow,
)
from transforms.block import Transform
from transforms.layout import Layout


def _api(*actions: str) -> Permission:
    return Permission(actions, "*")


def _objects(
    name: str,
    service_key: str,
    layout: Callable[[Any], Layout],
    detect: Callable[[str, bytes], bool],
    transform: Callable[[ConfiguredService], Transform],
) -> Service:
    return Service(name, service_key, build.objects, transform, (QUEUE, OBJECTS), layout, detect)


CATALOGUE: tuple[Service, ...] = (
    _objects(
        "audits_s3",
        "audit-events-all",
        lambda options: Layout(records="Records", digests=options.collect_digests),
        cloudtrail.detect,
        tagging.records,
    ),
    _objects(
        "flowlogs",
        "non-cloudwatch-logs",
        lambda _options: Layout(is_header=vpcflow.is_header, column=vpcflow.column),
        vpcflow.detect,
        tagging.flow_logs,
    ),
    _objects(
        "cloudfrontlogs",
        "non-cloudwatch-logs",
        lambda _options: Layout(comment=b"#", separator=b"\t", column=cloudfront.column),
        cloudfront.detect,
        tagging.web_logs,
    ),
    _objects(
        "cisco-umbrella",
        "cisco-umbrella",
        lambda _options: Layout(is_header=umbrella.is_header, quoted=True),
        umbrella.detect,
        tagging.umbrella_rows,
    ),
    Service(
        "service-events-all",
        "service-events-all",
        build.messages(events.eventbridge),
        tagging.envelopes,
        (QUEUE,),
    ),
    Service(
        "sqs-cloudwatch-consumer",
        "sqs-cloudwatch-consumer",
        build.messages(events.securityhub),
        tagging.one_table(securityhub.TEMPLATE),
        (QUEUE,),
    ),
    Service(
        "audits_api",
        "audit-events-all",
        build.polled(polls.lookup_events, build.within(LOOKUP_RATES, fixed=True)),
        tagging.records,
        (_api("cloudtrail:LookupEvents"),),
    ),
    Service(
        "metrics-all",
        "metrics-all",
        build.polled(polls.metric_data, build.within(METRICS_RATES)),
        tagging.one_table(cloudwatch_metrics.TEMPLATE),
        (_api("cloudwatch:ListMetrics", "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"),),
    ),
    Service(
        "logs",
        "",
        build.polled(polls.log_events, build.within(LOGS_RATES)),
        tagging.one_table(cloudwatch_logs.TEMPLATE),
        (_api("logs:DescribeLogGroups", "logs:FilterLogEvents"),),
    ),
    Service(
        "aws-guardduty",
        "aws-guardduty",
        build.polled(polls.findings, build.as_configured),
        tagging.one_table(guardduty.TEMPLATE),
        (_api("guardduty:ListDetectors", "guardduty:ListFindings", "guardduty:GetFindings"),),
    ),
)


def _lines(kind: str) -> NonCloudwatchLogsSettings:
    return NonCloudwatchLogsSettings.model_validate(
        {"enabled": False, "types": [kind], "auto_event_type": True}
    )


_REPLAYED: Mapping[str, Callable[[], Any]] = {
    "audits_s3": lambda: AuditEventsSettings.model_validate(
        {"enabled": False, "types": ["audits_s3"], "auto_event_type": True}
    ),
    "flowlogs": lambda: NonCloudwatchLogsSettings(enabled=False, types=("flowlogs",), auto_event_type=True),
    "cloudfrontlogs": lambda: NonCloudwatchLogsSettings(
        enabled=False, types=("cloudfrontlogs",), auto_event_type=True
    ),
    "cisco-umbrella": lambda: CiscoUmbrellaSettings.model_validate({"enabled": False}),
}
"""Settings for a replay without a configuration: the tags that name the table."""


def units(settings: Settings) -> list[ConfiguredService]:
    """Return what to run for a configuration: every enabled service of every enabled input."""
    return [
        ConfiguredService(one.id, service_key, account, service, options, one.environment)
        for name, one in settings.inputs.items()
        if one.enabled
        for account in [Account(name, one.credentials)]
        for service_key, options in one.services.items()
        if options.enabled
        for service in services_of(service_key, options)
    ]


def services_of(service_key: str, options: Any) -> Iterator[Service]:
    """Yield the services that one `services.<key>` of the configuration stands for."""
    if isinstance(options, SqsLogsSettings):
        yield next((service for service in OBJECT_TYPES if service.service_key == service_key), CUSTOM)
        return
    named = [service for service in CATALOGUE if service.service_key == service_key]
    found = named or [service for service in CATALOGUE if not service.service_key]
    yield from (service for service in found if service.name in options.types)


def by_name() -> dict[str, Service]:
    """Return the catalogue by service name."""
    return {service.name: service for service in CATALOGUE}


def every() -> dict[str, Service]:
    """Return all services that have a name, those of Devo's SQS collector included."""
    return {**by_name(), **{service.name: service for service in OBJECT_TYPES}}


def recognise(key: str, head: bytes) -> Service | None:
    """Return the type of an object by its key and its first decoded bytes."""
    return next((one for one in every().values() if one.detect and one.detect(key, head)), None)


def replay_unit(service: Service, settings: Settings | None) -> ConfiguredService:
    """Return a unit to replay captures with: as configured, else with the tags that name the table."""
    configured = units(settings) if settings else []
    found = next((unit for unit in configured if unit.service is service), None)
    made = _REPLAYED.get(service.name, lambda: SqsLogsSettings(enabled=False))
    return found or ConfiguredService("replay", service.service_key, Account("replay"), service, made())
