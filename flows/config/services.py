"""Settings of the services, one model for each key under `inputs.<name>.services`."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from flows.config.base import ObjectsSettings, PolledSettings, QueuedSettings, ServiceSettings, TypedSettings
from flows.config.types import Model, Moment, RequestLimit, one_or_many
from transforms.setting import About, without_effect

_HIGH_RESOLUTION = (1, 5, 10, 30)
_MINUTE = 60
_AUTO = "true: the tag's last level tells the event's type"


def _seconds(default: int, told: str) -> Any:
    text = told[0].upper() + told[1:]
    return Field(
        default,
        ge=0,
        description=text,
        examples=[default],
        json_schema_extra=About(unit="seconds", ours=True),
    )


def _settle(default: int, of: str = "") -> Any:
    told = f"{of}events younger than this are not asked for, AWS may not show all of them yet"
    return _seconds(default, told)


def _overlap(default: int, of: str = "", what: str = "events") -> Any:
    told = (
        f"{of}how far each request reaches back into the one before, for {what} that AWS shows late; "
        "repeats are dropped, except for one time after it was raised"
    )
    return _seconds(default, told)


class ServiceEventsSettings(QueuedSettings):
    """`service-events-all`: events of AWS services, sent by EventBridge to a queue."""

    QUEUE_KEYS: ClassVar[dict[str, str]] = {"service-events-all": "cloudwatch_sqs_queue_name"}

    types: Annotated[tuple[Literal["service-events-all"], ...], BeforeValidator(one_or_many)] = Field(
        ("service-events-all",), description="One type", examples=[["service-events-all"]]
    )
    cloudwatch_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue", examples=["events.fifo"]
    )
    auto_event_type: bool = Field(default=False, description=_AUTO, examples=[True])
    event_type_processor_mapping: dict[str, str] = Field(
        default_factory=dict,
        description="EventBridge source or detail-type → event type, before the built-in rule",
        examples=[{"aws.health": "events"}],
    )


class SecurityHubSettings(QueuedSettings):
    """`sqs-cloudwatch-consumer`: Security Hub findings, sent by EventBridge to a queue."""

    QUEUE_KEYS: ClassVar[dict[str, str]] = {"sqs-cloudwatch-consumer": "cloudwatch_sqs_queue_name"}

    types: Annotated[tuple[Literal["sqs-cloudwatch-consumer"], ...], BeforeValidator(one_or_many)] = Field(
        ("sqs-cloudwatch-consumer",), description="One type", examples=[["sqs-cloudwatch-consumer"]]
    )
    cloudwatch_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue", examples=["findings.fifo"]
    )
    auto_event_type: bool | None = without_effect(example=True, why="findings have one table")
    event_type_processor_mapping: dict[str, str] | None = without_effect({}, "findings have one table")


def _audit_types(value: Any) -> Any:
    kinds = one_or_many(value)
    return (
        ["audits_api" if kind == "audit_apis" else kind for kind in kinds]
        if isinstance(kinds, list)
        else kinds
    )


class AuditEventsSettings(ObjectsSettings):
    """`audit-events-all`: CloudTrail, from its API (`audits_api`) or from S3 (`audits_s3`)."""

    QUEUE_KEYS: ClassVar[dict[str, str]] = {"audits_s3": "audit_sqs_queue_name"}

    types: Annotated[
        tuple[Literal["audits_api", "audits_s3"], ...], Field(min_length=1), BeforeValidator(_audit_types)
    ] = Field(
        ("audits_api",), description="Where to read from; audit_apis is audits_api", examples=[["audits_s3"]]
    )
    audit_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue, for audits_s3", examples=["cloudtrail"]
    )
    request_period_in_seconds: float = Field(
        300,
        gt=0,
        description="For audits_api: from one poll of a region to the next",
        examples=[60],
        json_schema_extra=About(unit="seconds"),
    )
    requests_per_second: float | None = Field(
        None,
        gt=0,
        description="For audits_api; AWS allows 2",
        examples=[2],
        json_schema_extra=About(unit="requests/s"),
    )
    requests_limits: tuple[RequestLimit, ...] = Field(
        (), description="For audits_api, as elsewhere: most requests in longer periods", examples=[[]]
    )
    start_time: Moment | None = Field(
        None,
        description="For audits_api: collect from this time (ISO 8601) on, 90 days back at most. "
        "Changing it begins anew from there",
        examples=["2026-01-02T03:04:05Z"],
    )
    auto_event_type: bool = Field(default=False, description=_AUTO, examples=[True])
    drop_event_names: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(
        (), description="Events with these eventName are counted and not sent", examples=[["Decrypt"]]
    )
    use_region_and_account_id_from_event: bool = Field(
        default=True,
        description="false: account and region in tags are those that were asked, not the event's",
        examples=[False],
    )
    settle_seconds: int = _settle(60, "For audits_api: ")
    overlap_seconds: int = _overlap(900, "For audits_api: ")
    collect_insights: bool = Field(
        default=False,
        description="For audits_api, true: read Insight events too",
        examples=[True],
        json_schema_extra=About(ours=True),
    )
    collect_digests: bool = Field(
        default=False,
        description="For audits_s3, true: send CloudTrail's digest files too",
        examples=[True],
        json_schema_extra=About(ours=True),
    )


class NonCloudwatchLogsSettings(TypedSettings):
    """`non-cloudwatch-logs`: VPC flow logs and CloudFront logs from S3."""

    QUEUE_KEYS: ClassVar[dict[str, str]] = {
        "flowlogs": "vpcflowlogs_sqs_queue_name",
        "cloudfrontlogs": "cloudfrontlogs_sqs_queue_name",
    }

    types: Annotated[
        tuple[Literal["flowlogs", "cloudfrontlogs"], ...], Field(min_length=1), BeforeValidator(one_or_many)
    ] = Field(description="Which logs", examples=[["flowlogs"]])
    vpcflowlogs_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue, for flowlogs", examples=["flow-logs"]
    )
    cloudfrontlogs_sqs_queue_name: str | None = Field(
        None,
        min_length=1,
        description="Name or URL of the queue, for cloudfrontlogs",
        examples=["cloudfront"],
    )
    auto_event_type: bool = Field(default=False, description=_AUTO, examples=[True])
    format: Literal["raw", "json"] = Field(
        "raw",
        description="raw: the line as it is; json: its fields by the header's names",
        examples=["json"],
        json_schema_extra=About(ours=True),
    )


class CiscoUmbrellaSettings(TypedSettings):
    """`cisco-umbrella`: Cisco Umbrella's logs from S3."""

    QUEUE_KEYS: ClassVar[dict[str, str]] = {"cisco-umbrella": "cisco_umbrella_sqs_queue_name"}

    types: Annotated[tuple[Literal["cisco-umbrella"], ...], BeforeValidator(one_or_many)] = Field(
        ("cisco-umbrella",), description="One type", examples=[["cisco-umbrella"]]
    )
    cisco_umbrella_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue", examples=["umbrella"]
    )
    auto_event_type: bool | None = without_effect(example=True, why="the key's folder always tells the table")
    format: Literal["raw"] = Field(
        "raw",
        description="The line as it is; its columns grow with the schema",
        examples=["raw"],
        json_schema_extra=About(ours=True),
    )


class MetricsSettings(PolledSettings):
    """`metrics-all`: CloudWatch metrics."""

    types: Annotated[tuple[Literal["metrics-all"], ...], BeforeValidator(one_or_many)] = Field(
        ("metrics-all",), description="One type", examples=[["metrics-all"]]
    )
    namespaces: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(
        (),
        description="Only these namespaces; none = all",
        examples=[["AWS/EC2", "AWS/SQS"]],
        json_schema_extra=About(ours=True),
    )
    metric_names: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(
        (),
        description="Only metrics of these names; none = all",
        examples=[["CPUUtilization"]],
        json_schema_extra=About(ours=True),
    )
    dimensions: dict[str, str] = Field(
        default_factory=dict,
        description="Only metrics with these dimensions; an empty value stands for any",
        examples=[{"AutoScalingGroupName": ""}],
        json_schema_extra=About(ours=True),
    )
    period: int = Field(
        300,
        ge=1,
        description="Length of a point: 1, 5, 10, 30 or whole minutes",
        examples=[60],
        json_schema_extra=About(unit="seconds", ours=True),
    )
    delay: int = Field(
        180,
        ge=0,
        description="Points younger than this are not final and not asked for",
        examples=[180],
        json_schema_extra=About(unit="seconds", ours=True),
    )

    @model_validator(mode="after")
    def _period_is_possible(self) -> Self:
        if self.period not in _HIGH_RESOLUTION and self.period % _MINUTE:
            raise ValueError(f"has period {self.period}: it must be 1, 5, 10, 30 or a multiple of 60 seconds")
        return self


class LogGroup(Model):
    """One log group of a custom logs service."""

    log_group: str = Field(
        min_length=1,
        description="Name or ARN; / = every group; a name that ends in / or * stands for all that begin so",
        examples=["/aws/lambda/f"],
    )
    start_time: Moment | None = Field(
        None, description="Its own start time, by default the service's", examples=["2026-01-02T03:04:05Z"]
    )


class CloudWatchLogsSettings(PolledSettings):
    """A service of any name with `types: [logs]`: CloudWatch Logs."""

    types: Annotated[tuple[Literal["logs"], ...], Field(min_length=1), BeforeValidator(one_or_many)] = Field(
        description="Marks the service as one of CloudWatch Logs", examples=[["logs"]]
    )
    log_group: str | None = Field(
        None,
        min_length=1,
        description="Name or ARN of the group; / = every group; one that ends in / or * = all that begin so",
        examples=["/"],
    )
    log_groups: tuple[LogGroup, ...] = Field(
        (),
        description="Several groups, each with a start time of its own",
        examples=[[{"log_group": "/aws/lambda/f", "start_time": "2026-01-02T03:04:05Z"}]],
    )
    settle_seconds: int = _settle(60)
    overlap_seconds: int = _overlap(300)

    @model_validator(mode="after")
    def _knows_its_groups(self) -> Self:
        if not self.enabled:
            return self
        if bool(self.log_group) == bool(self.log_groups):
            what = "names its groups twice" if self.log_group else "has no log group"
            raise ValueError(f"{what}: give log_group (/ = every group) or log_groups")
        names = [group.log_group for group in self.log_groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"has log group {twice[0]} twice: keep one")
        return self

    @property
    def groups(self) -> tuple[LogGroup, ...]:
        """The groups to read, each with its start time; one named / stands for all."""
        if self.log_group:
            return (LogGroup.model_construct(log_group=self.log_group, start_time=self.start_time),)
        return tuple(
            group.model_copy(update={"start_time": group.start_time or self.start_time})
            for group in self.log_groups
        )


class GuardDutySettings(PolledSettings):
    """`aws-guardduty`: GuardDuty findings."""

    types: Annotated[tuple[Literal["aws-guardduty"], ...], BeforeValidator(one_or_many)] = Field(
        ("aws-guardduty",), description="One type", examples=[["aws-guardduty"]]
    )
    collect_archived: bool = Field(
        default=True,
        description="Collect archived findings too; suppression rules archive at birth",
        examples=[False],
        json_schema_extra=About(ours=True),
    )
    overlap_seconds: int = _overlap(300, what="updates")


SERVICES: dict[str, type[ServiceSettings]] = {
    "service-events-all": ServiceEventsSettings,
    "sqs-cloudwatch-consumer": SecurityHubSettings,
    "audit-events-all": AuditEventsSettings,
    "metrics-all": MetricsSettings,
    "non-cloudwatch-logs": NonCloudwatchLogsSettings,
    "cisco-umbrella": CiscoUmbrellaSettings,
    "aws-guardduty": GuardDutySettings,
}
"""Key under `services` → its settings; any other key with `types: [logs]` is `CloudWatchLogsSettings`."""
