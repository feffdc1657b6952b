"""Events of AWS services and Security Hub's findings, which EventBridge sends to a queue."""

from typing import Literal

from flows.catalogue import build
from flows.catalogue.delays import AUTO
from flows.catalogue.filters import sifted
from flows.catalogue.service import QUEUE, ConfiguredService, Service
from flows.catalogue.tagging import one_table, rule, stamp
from flows.config.base import QueuedSettings
from flows.config.types import OneOrMany
from sources.queues import events
from transforms import eventbridge
from transforms.block import Transform
from transforms.setting import setting, without_effect


class ServiceEventsSettings(QueuedSettings):
    """`service-events-all`: events of AWS services, sent by EventBridge to a queue."""

    types: OneOrMany[Literal["service-events-all"]] = setting(
        ("service-events-all",), example=["service-events-all"]
    )
    """One type"""
    cloudwatch_sqs_queue_name: str | None = setting(
        None, example="events.fifo", min_length=1, queue_of="service-events-all"
    )
    """Name or URL of the queue"""
    auto_event_type: bool = setting(default=False, example=True, description=AUTO)
    event_type_processor_mapping: dict[str, str] = setting(
        example={"aws.health": "events"}, default_factory=dict
    )
    """EventBridge source or detail-type → event type, before the built-in rule"""


class SecurityHubSettings(QueuedSettings):
    """`sqs-cloudwatch-consumer`: Security Hub findings, sent by EventBridge to a queue."""

    types: OneOrMany[Literal["sqs-cloudwatch-consumer"]] = setting(
        ("sqs-cloudwatch-consumer",), example=["sqs-cloudwatch-consumer"]
    )
    """One type"""
    cloudwatch_sqs_queue_name: str | None = setting(
        None, example="findings.fifo", min_length=1, queue_of="sqs-cloudwatch-consumer"
    )
    """Name or URL of the queue"""
    auto_event_type: bool | None = without_effect(example=True, why="findings have one table")
    event_type_processor_mapping: dict[str, str] | None = without_effect({}, "findings have one table")


def _envelopes(unit: ConfiguredService[ServiceEventsSettings]) -> Transform:
    options = unit.options
    return eventbridge.transform(
        eventbridge.EventBridgeOptions(
            tag=rule(unit, eventbridge.TEMPLATE),
            auto_event_type=options.auto_event_type,
            mapping=options.event_type_processor_mapping,
            stamp=stamp(unit),
        )
    )


SERVICE_EVENTS = Service(
    name="service-events-all",
    about="EventBridge's events in a queue",
    service_key="service-events-all",
    settings=ServiceEventsSettings,
    source=build.messages(events.eventbridge),
    transform=sifted(_envelopes),
    event_name=("detail-type",),
    calls=QUEUE,
    protected=True,
)
SECURITY_HUB = Service(
    name="sqs-cloudwatch-consumer",
    about="Security Hub's findings in a queue",
    service_key="sqs-cloudwatch-consumer",
    settings=SecurityHubSettings,
    source=build.messages(events.securityhub),
    transform=sifted(one_table("cloud.aws.securityhub.findings")),
    event_name=("Title",),
    calls=QUEUE,
    protected=True,
)
