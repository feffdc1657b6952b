"""Events of AWS services and Security Hub's findings, which EventBridge sends to a queue."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from flows.catalogue import build
from flows.catalogue.delays import AUTO
from flows.catalogue.filters import sifted
from flows.catalogue.service import QUEUE, ConfiguredService, Service
from flows.catalogue.tagging import one_table, rule, stamp
from flows.config.base import OwnQueue, QueuedSettings
from flows.config.types import one_or_many
from sources.queues import events
from transforms import eventbridge
from transforms.block import Transform
from transforms.setting import without_effect


class ServiceEventsSettings(QueuedSettings):
    """`service-events-all`: events of AWS services, sent by EventBridge to a queue."""

    types: Annotated[tuple[Literal["service-events-all"], ...], BeforeValidator(one_or_many)] = Field(
        ("service-events-all",), description="One type", examples=[["service-events-all"]]
    )
    cloudwatch_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue", examples=["events.fifo"]
    )
    auto_event_type: bool = Field(default=False, description=AUTO, examples=[True])
    event_type_processor_mapping: dict[str, str] = Field(
        default_factory=dict,
        description="EventBridge source or detail-type → event type, before the built-in rule",
        examples=[{"aws.health": "events"}],
    )

    @property
    def own_queues(self) -> Mapping[str, OwnQueue]:
        """Type → its own queue."""
        return {"service-events-all": OwnQueue("cloudwatch_sqs_queue_name", self.cloudwatch_sqs_queue_name)}


class SecurityHubSettings(QueuedSettings):
    """`sqs-cloudwatch-consumer`: Security Hub findings, sent by EventBridge to a queue."""

    types: Annotated[tuple[Literal["sqs-cloudwatch-consumer"], ...], BeforeValidator(one_or_many)] = Field(
        ("sqs-cloudwatch-consumer",), description="One type", examples=[["sqs-cloudwatch-consumer"]]
    )
    cloudwatch_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue", examples=["findings.fifo"]
    )
    auto_event_type: bool | None = without_effect(example=True, why="findings have one table")
    event_type_processor_mapping: dict[str, str] | None = without_effect({}, "findings have one table")

    @property
    def own_queues(self) -> Mapping[str, OwnQueue]:
        """Type → its own queue."""
        return {
            "sqs-cloudwatch-consumer": OwnQueue("cloudwatch_sqs_queue_name", self.cloudwatch_sqs_queue_name)
        }


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
    service_key="service-events-all",
    settings=ServiceEventsSettings,
    source=build.messages(events.eventbridge),
    transform=sifted(_envelopes),
    event_name=("detail-type",),
    calls=QUEUE,
)
SECURITY_HUB = Service(
    name="sqs-cloudwatch-consumer",
    service_key="sqs-cloudwatch-consumer",
    settings=SecurityHubSettings,
    source=build.messages(events.securityhub),
    transform=sifted(one_table("cloud.aws.securityhub.findings")),
    event_name=("Title",),
    calls=QUEUE,
)
