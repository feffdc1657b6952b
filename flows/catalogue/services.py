"""The catalogue: what can be collected, one value each.

`CATALOGUE` holds the services of Devo's AWS collector, `OBJECT_TYPES` (in object_types.py) those of its SQS
collector. A new type that comes as S3 objects is one more value there, and golden files.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from flows.catalogue.cloudtrail import AUDITS_API, AUDITS_S3
from flows.catalogue.event_queues import SECURITY_HUB, SERVICE_EVENTS
from flows.catalogue.guardduty import GUARDDUTY
from flows.catalogue.line_logs import CLOUDFRONT_LOGS, FLOW_LOGS
from flows.catalogue.logs import LOGS
from flows.catalogue.metrics import METRICS
from flows.catalogue.object_types import CUSTOM, OBJECT_TYPES
from flows.catalogue.service import AnyService, ConfiguredService, OrganizationUnit, Unit, regions_of
from flows.catalogue.umbrella import UMBRELLA
from flows.config.base import ServiceSettings
from flows.config.objects import CUSTOM_KEYS, SqsLogsSettings
from sources.aws.account import Account
from sources.organization.directory import Directory
from transforms.tags import DEVO_TABLES

if TYPE_CHECKING:
    from flows.config.load import Settings
    from flows.config.settings import Input

CATALOGUE: tuple[AnyService, ...] = (
    SERVICE_EVENTS,
    SECURITY_HUB,
    AUDITS_API,
    AUDITS_S3,
    METRICS,
    FLOW_LOGS,
    CLOUDFRONT_LOGS,
    UMBRELLA,
    GUARDDUTY,
    LOGS,
)

SETTINGS: Mapping[str, type[ServiceSettings]] = {
    one.service_key: one.settings
    for one in sorted((*CATALOGUE, *OBJECT_TYPES), key=lambda one: one.name)
    if one.service_key
}
"""Key under `services` → its settings."""

REPLAYED = "replay"
"""Input of a unit that no configuration names."""

ANY_NAME: tuple[AnyService, ...] = (
    *(one for one in CATALOGUE if not one.service_key or one is METRICS),
    CUSTOM,
)
"""What a service of any other key may be."""


def settings_of(service_key: str, given: Mapping[str, object]) -> type[ServiceSettings] | None:
    """Return the settings model of a service: found by its key, or by what only one of `ANY_NAME` has."""
    if service_key in SETTINGS:
        return SETTINGS[service_key]
    types = given.get("types")
    if isinstance(types, str | Sequence):
        marked = [one for one in ANY_NAME if one is not CUSTOM and one.name in types]
        if marked:
            return marked[0].settings
    return SqsLogsSettings if CUSTOM_KEYS & given.keys() else None


def units(settings: "Settings") -> list[Unit]:
    """Return what to run for a configuration: every enabled service of every enabled input."""
    journal = settings.journal.bucket if settings.journal else ""
    kept = (str(settings.globals.quarantine or ""), journal)
    tables = settings.globals.tables.cloudtrail.tables
    return [
        ConfiguredService(
            one.id,
            service_key,
            account,
            service,
            options,
            one.environment,
            queues,
            kept,
            tables,
            _organization(one, directory, service, options),
        )
        for name, one in settings.inputs.items()
        if one.enabled
        for account, queues in [_identities(name, one)]
        for directory in [Directory(account, one.organization.scope) if one.organization else None]
        for service_key, options in one.services.items()
        if options.enabled
        for service in services_of(service_key, options)
    ]


def _organization(
    one: "Input", directory: Directory | None, service: AnyService, options: ServiceSettings
) -> OrganizationUnit | None:
    """Return the organization that a service of an input reads; only those that ask an API do."""
    if directory is None or one.organization is None or not service.probes:
        return None
    wanted = None if options.regions == tuple(one.organization.likely_regions) else options.regions
    named, in_tags = one.organization.account_name, one.organization.account_name_as_tag
    return OrganizationUnit(directory, wanted, named, in_tags)


def _identities(name: str, one: "Input") -> tuple[Account, Account | None]:
    """Return who an input works as, and who reads its queues when that is another."""
    region, own = _region(one.services), one.queue_credentials
    queues = Account(name, own, setting="queue_credentials", region=region) if own is not None else None
    return Account(name, one.credentials, region=region), queues


def _region(services: Mapping[str, ServiceSettings]) -> str:
    """Return a region that an input collects from: AWS is asked who it is in the partition of that."""
    for service_key, options in services.items():
        for service in services_of(service_key, options) if options.enabled else ():
            return regions_of(service, options)[0]
    return ""


def services_of(service_key: str, options: ServiceSettings) -> Iterator[AnyService]:
    """Yield the services that one `services.<key>` of the configuration stands for."""
    if isinstance(options, SqsLogsSettings):
        yield next((service for service in OBJECT_TYPES if service.service_key == service_key), CUSTOM)
        return
    named = [service for service in CATALOGUE if service.service_key == service_key]
    found = named or CATALOGUE
    yield from (service for service in found if service.name in options.types)


def every() -> dict[str, AnyService]:
    """Return all services that have a name, those of Devo's SQS collector included."""
    return {service.name: service for service in (*CATALOGUE, *OBJECT_TYPES)}


def recognise(key: str, head: bytes, among: Container[str] = ()) -> AnyService | None:
    """Return the type of an object by its key and its first decoded bytes. among: their names, () = all."""
    able = (one for one in every().values() if one.detect and (not among or one.name in among))
    return next((one for one in able if one.detect and one.detect(key, head)), None)


def replay_unit(service: AnyService, settings: "Settings | None") -> Unit:
    """Return a unit to replay captures with: as configured, else with the tags that name the table."""
    configured = units(settings) if settings else []
    found = next((unit for unit in configured if unit.service is service), None)
    if found:
        return found
    typed = {"types": [service.name]} if service in CATALOGUE else {}
    made = service.settings.model_validate({"enabled": False, **typed, **service.replayed})
    tables = settings.globals.tables.cloudtrail.tables if settings else DEVO_TABLES
    return ConfiguredService(REPLAYED, service.service_key, Account(REPLAYED), service, made, tables=tables)
