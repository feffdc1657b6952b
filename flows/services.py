"""The catalogue: what can be collected, one value each.

A new type that comes as S3 objects is one more `_objects(...)` here, one transform, and golden files.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flows.build import messages, objects
from flows.config import Settings
from flows.service import Permission, Service, Unit
from flows.settings_services import AuditEvents, CiscoUmbrella, NonCloudwatchLogs
from sources.aws import Account
from transforms import cloudfront, cloudtrail, umbrella, vpcflow
from transforms.block import Transform
from transforms.layout import Layout
from transforms.tags import TagRule

QUEUE = Permission(
    ("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"), "{queue}"
)
OBJECTS = Permission(("s3:GetObject",), "{bucket}/*")


def _rule(unit: Unit, template: str) -> TagRule:
    return TagRule(unit.options.tag or template, unit.options.tag_suffix)


def _cloudtrail(unit: Unit) -> Transform:
    options = unit.options
    return cloudtrail.transform(
        cloudtrail.Options(
            _rule(unit, cloudtrail.TEMPLATE),
            options.auto_event_type,
            frozenset(options.drop_event_names),
            options.use_region_and_account_id_from_event,
            unit.environment,
        )
    )


def _vpcflow(unit: Unit) -> Transform:
    options = unit.options
    return vpcflow.transform(
        vpcflow.Options(
            _rule(unit, vpcflow.TEMPLATE),
            options.auto_event_type,
            options.event_type,
            options.format == "json",
            unit.environment,
        )
    )


def _cloudfront(unit: Unit) -> Transform:
    options = unit.options
    return cloudfront.transform(
        cloudfront.Options(
            _rule(unit, cloudfront.TEMPLATE),
            options.auto_event_type,
            options.event_type,
            options.format == "json",
            unit.environment,
        )
    )


def _umbrella(unit: Unit) -> Transform:
    return umbrella.transform(umbrella.Options(_rule(unit, umbrella.TEMPLATE), unit.options.event_type))


def _objects(
    name: str,
    setting: str,
    layout: Callable[[Any], Layout],
    detect: Callable[[str, bytes], bool],
    transform: Callable[[Unit], Transform],
) -> Service:
    return Service(name, setting, objects, transform, (QUEUE, OBJECTS), layout, detect)


CATALOGUE: tuple[Service, ...] = (
    _objects(
        "audits_s3",
        "audit-events-all",
        lambda options: Layout(records="Records", digests=options.collect_digests),
        cloudtrail.detect,
        _cloudtrail,
    ),
    _objects(
        "flowlogs",
        "non-cloudwatch-logs",
        lambda _options: Layout(is_header=vpcflow.is_header, column=vpcflow.column),
        vpcflow.detect,
        _vpcflow,
    ),
    _objects(
        "cloudfrontlogs",
        "non-cloudwatch-logs",
        lambda _options: Layout(comment=b"#", separator=b"\t", column=cloudfront.column),
        cloudfront.detect,
        _cloudfront,
    ),
    _objects(
        "cisco-umbrella",
        "cisco-umbrella",
        lambda _options: Layout(is_header=umbrella.is_header, quoted=True),
        umbrella.detect,
        _umbrella,
    ),
)


def _lines(kind: str) -> NonCloudwatchLogs:
    return NonCloudwatchLogs.model_validate({"enabled": False, "types": [kind], "auto_event_type": True})


_REPLAYED: Mapping[str, Callable[[], Any]] = {
    "audits_s3": lambda: AuditEvents.model_validate(
        {"enabled": False, "types": ["audits_s3"], "auto_event_type": True}
    ),
    "flowlogs": lambda: NonCloudwatchLogs(enabled=False, types=("flowlogs",), auto_event_type=True),
    "cloudfrontlogs": lambda: NonCloudwatchLogs(
        enabled=False, types=("cloudfrontlogs",), auto_event_type=True
    ),
    "cisco-umbrella": lambda: CiscoUmbrella.model_validate({"enabled": False}),
}
"""Settings for a replay without a configuration: the tags that name the table."""


def units(settings: Settings) -> list[Unit]:
    """Return what to run for a configuration: every enabled service of every enabled input."""
    return [
        Unit(one.id, setting, account, service, options, one.environment)
        for name, one in settings.inputs.items()
        if one.enabled
        for account in [Account(name, one.credentials)]
        for setting, options in one.services.items()
        if options.enabled
        for service in services_of(setting, options)
    ]


def services_of(setting: str, options: Any) -> Iterator[Service]:
    """Yield the catalogue's services that one `services.<setting>` of the configuration stands for."""
    named = [service for service in CATALOGUE if service.setting == setting]
    found = named or [service for service in CATALOGUE if not service.setting]
    return (service for service in found if service.name in options.types)


def by_name() -> dict[str, Service]:
    """Return the catalogue by service name."""
    return {service.name: service for service in CATALOGUE}


def recognise(key: str, head: bytes) -> Service | None:
    """Return the type of an object by its key and its first decoded bytes."""
    return next((one for one in CATALOGUE if one.detect and one.detect(key, head)), None)


def replay_unit(service: Service, settings: Settings | None) -> Unit:
    """Return a unit to replay captures with: as configured, else with the tags that name the table."""
    configured = units(settings) if settings else []
    found = next((unit for unit in configured if unit.service is service), None)
    return found or Unit("replay", service.setting, Account("replay"), service, _REPLAYED[service.name]())


__all__ = ["CATALOGUE", "by_name", "messages", "recognise", "replay_unit", "services_of", "units"]
