"""The catalogue: what can be collected, one value each.

A new type that comes as S3 objects is one more `_s3(...)` here, one transform, and golden files.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from flows.config import Settings
from flows.service import Context, Permission, Service, Source, Unit
from sources.aws import Account
from sources.decode import Limits, read
from sources.lease import LeaseOptions, LeaseSource, Queue
from sources.s3 import Body, ObjectRef, Piece, S3Opener
from transforms import cloudfront, cloudtrail, umbrella, vpcflow
from transforms.block import Transform
from transforms.layout import Layout

QUEUE = Permission(
    ("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"), "{queue}"
)
OBJECTS = Permission(("s3:GetObject",), "{bucket}/*")


def _s3(
    name: str,
    setting: str,
    layout: Layout,
    detect: Callable[[str, bytes], bool],
    transform: Callable[[Unit], Transform],
) -> Service:
    """Return a service whose events are in S3 objects that an SQS queue announces."""
    source = partial(_s3_source, layout)
    return Service(name, setting, source, transform, (QUEUE, OBJECTS), layout, detect)


def _s3_source(layout: Layout, unit: Unit, context: Context) -> Source:
    options = unit.options
    limits = Limits(options.max_object_bytes, options.max_inflation_ratio, options.max_event_bytes)

    def pieces(body: Body, _ref: ObjectRef) -> Iterator[Piece]:
        return read(body, layout, limits)

    opener = S3Opener(unit.service.name, unit.account, pieces, options.key_filter)
    queues = [Queue(unit.account, region, name) for region, name in options.queues(unit.service.name)]
    lease = LeaseOptions(
        visibility_timeout_seconds=options.visibility_timeout_seconds, prefetch_bytes=context.prefetch_bytes
    )
    return LeaseSource(unit.service.name, queues, opener, lease, context.drain)


CATALOGUE: tuple[Service, ...] = ()


def units(settings: Settings) -> list[Unit]:
    """Return what to run for a configuration: every enabled service of every enabled input."""
    return [
        Unit(one.id, account, service, options, one.environment)
        for name, one in settings.inputs.items()
        if one.enabled
        for account in [Account(name, one.credentials)]
        for setting, options in one.services.items()
        if options.enabled
        for service in services_of(setting, options)
    ]


def services_of(setting: str, options: Any) -> list[Service]:
    """Return the catalogue's services that one `services.<setting>` of the configuration stands for."""
    named = [service for service in CATALOGUE if service.setting == setting]
    found = named or [service for service in CATALOGUE if not service.setting]
    return [service for service in found if service.name in options.types]


def by_name(catalogue: tuple[Service, ...] = CATALOGUE) -> Mapping[str, Service]:
    """Return the catalogue by service name."""
    return {service.name: service for service in catalogue}
