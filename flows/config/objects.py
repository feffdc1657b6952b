"""Settings of Devo's SQS collector: its input's keys, and one model for all of its services.

inputs:
  sqs_collector:
    region, base_url …            SqsInput
    services:
      aws_sqs_alb: {}             SqsLogs: a type of the catalogue, every part of which may be overridden
      custom_service: {…}         SqsLogs: any name with file_format and routing_template
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Strict, model_validator

from flows.config.base import TypedSettings
from flows.config.file_formats import FileFormat
from flows.config.types import (
    MOST_LEVELS,
    Model,
    OneOrMany,
    Region,
    only_text,
)
from transforms.filters import Rule
from transforms.routed import PLACEHOLDER
from transforms.setting import setting, without_effect

CUSTOM_KEYS = frozenset({"file_format", "routing_template"})
"""What makes a service of any other name one of these."""

_NO_EVENTS = re.compile(
    r"(?:^|/)(?:ConfigWritabilityCheckFile|ELBAccessLogTestFile|_SUCCESS|ownership-challenge-[^/]*)$"
)
"""Objects that AWS, CrowdStrike and Cloudflare write to see whether they can, or to say that they have."""

_QUEUE_KEYS = ("sqs_queue_name", "queue_url", "queue_name", "s3_listing")
_LEVEL = re.compile(r"[A-Za-z0-9_-]+")
_BRACED = re.compile(r"\{(event_type|account|region)\}")


def _template(value: str) -> str:
    """Check the static parts of a tag's template; values are made fit when they are put in."""
    levels = _BRACED.sub("x", PLACEHOLDER.sub("x", value)).split(".")
    if not 1 < len(levels) <= MOST_LEVELS:
        raise ValueError(f"has {len(levels)} level{'s'[: len(levels) != 1]}; a Devo tag has 2 to 6")
    wrong = [level for level in levels if not _LEVEL.fullmatch(level)]
    if wrong:
        raise ValueError(
            f"has a level {wrong[0]!r}: use letters, digits, _ and -, [file-NAME], [record-NAME], "
            "{account}, {region}, {event_type}"
        )
    return value


def _acknowledges(value: object) -> object:
    if value is False:
        raise ValueError("is false, but messages are deleted once delivered: use python -m flows preview")
    return value


def _sends(value: object) -> object:
    if value is True:
        raise ValueError("is true, but events are sent: use an output of type console")
    return value


_OWN_LENGTH, _IN_TENS = "long polls have a length of their own", "messages come ten at a time"
_DELETED, _SENT = "messages are deleted once delivered; false is refused", "events are sent; true is refused"
_COMPRESSED = "outputs decide on compression"


class SqsLogsSettings(TypedSettings):
    """A service of Devo's SQS collector: objects in S3 that a queue announces.

    The types of the catalogue need no settings; a service of any other name is a custom one and needs
    `file_format` and `routing_template`.
    """

    types: OneOrMany[str] = without_effect(["custom_service"], "the service's name is its type", ())
    auto_event_type: bool | None = setting(None, example=True)
    """CloudTrail, by default true: the tag's last level is the service; VPC flow, likewise. CrowdStrike,
    likewise: it is the event's name"""
    format: Literal["raw", "json"] = setting("raw", example="json", ours=True)
    """VPC flow and CloudFront lines as they are, or as JSON"""
    file_format: FileFormat | None = setting(
        None, example={"type": "line_split_processor", "config": {"json": True}}
    )
    """How objects are cut into events"""
    routing_template: Annotated[str, Strict(), AfterValidator(_template), only_text("devo-tag")] | None = (
        setting(None, example="my.app.web.[file-log_type]")
    )
    """Devo tag, with [file-NAME] of file_field_definitions and [record-NAME] of record_field_mapping"""
    add_file_fields: OneOrMany[str] = setting((), example=["log_type"], ours=True)
    """File fields to put into each JSON event"""
    regions: OneOrMany[Region] = setting(
        (), example=["eu-west-1"], validation_alias=AliasChoices("regions", "region")
    )
    """AWS regions, each with a state of its own; by default the input's, else $AWS_REGION's"""
    queue_url: str | None = setting(
        None,
        example="https://sqs.eu-west-1.amazonaws.com/123456789012/cloudtrail",
        ours=True,
        validation_alias=AliasChoices("queue_url", "base_url"),
        pattern=r"^https?://[^/]+/.+",
    )
    """URL of the queue; names account and region"""
    visibility_timeout_seconds: int = setting(
        120,
        example=120,
        unit="seconds",
        ours=True,
        validation_alias=AliasChoices("visibility_timeout_seconds", "sqs_visibility_timeout"),
        ge=2,
        le=43_200,
    )
    """A message comes again when no sign of life was given for so long; one is given at half time"""
    is_aws_service: bool | None = without_effect(example=True, why="the service's name tells how it is read")
    sqs_wait_timeout: int | None = without_effect(20, _OWN_LENGTH)
    sqs_max_messages: int | None = without_effect(1, _IN_TENS)
    ack_messages: Annotated[bool | None, BeforeValidator(_acknowledges)] = without_effect(
        example=True, why=_DELETED
    )
    direct_mode: bool | None = without_effect(example=False)
    do_not_send: Annotated[bool | None, BeforeValidator(_sends)] = without_effect(example=False, why=_SENT)
    compressed_events: bool | None = without_effect(example=False, why=_COMPRESSED)
    encoding: str | None = without_effect("gzip", "an object's content tells how it is compressed")
    send_filtered_out_to_unknown: Literal[False] | None = without_effect(
        example=False, why="what is filtered out is counted and not sent; true is refused"
    )

    def _queue(self, kind: str) -> str:  # noqa: ARG002 - all types of it come by the same queue
        """Return the one queue that any of the spellings names."""
        if self.s3_listing:
            return ""
        return self._generic_queue(
            "has no queue: add sqs_queue_name, its name or URL (or the input's base_url); or s3_listing"
        )

    @model_validator(mode="after")
    def _knows_its_queue(self) -> Self:
        if self.enabled:
            self.queues("")
        return self

    @property
    def filter_rules(self) -> Mapping[str, tuple[Rule, ...]]:
        """What drops events: lines that file_format does not select, and what the rules do."""
        unchosen = self.file_format.config.unchosen if self.file_format else ()
        return {**({"chunks": unchosen} if unchosen else {}), **super().filter_rules}

    def fields_asked_for(self) -> list[tuple[str, str]]:
        """Return (source, name) of each field that rules, template and events ask for."""
        placed = PLACEHOLDER.findall(self.routing_template or "")
        return [*placed, *(("file", name) for name in self.add_file_fields), *super().fields_asked_for()]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        fields = self.record_field_mapping or self.add_file_fields or self.mask
        if self.file_format and not self.file_format.of_json and fields:
            raise ValueError("reads or adds fields of events that are text: only JSON events have fields")
        if self.tag and self.routing_template:
            raise ValueError("has tag and routing_template: keep one")
        room = MOST_LEVELS - (0 if self.tag_suffix == "none" else 2)
        if len((self.routing_template or "").split(".")) > room:
            raise ValueError("has a routing_template and a tag_suffix of more than 6 levels together")
        return self

    @property
    def is_custom(self) -> bool:
        """Whether these settings alone say how objects are cut and tagged."""
        return self.file_format is not None and bool(self.routing_template or self.tag)

    @property
    def left_out(self) -> Callable[[str], str]:
        """Why an object's key is not to be read, "" = it is."""
        why = super().left_out
        return lambda key: "no_events" if _NO_EVENTS.search(key) else why(key)


class SqsInput(Model):
    """What an input of Devo's SQS collector says for its services."""

    region: Region | None = setting(None, example="us-west-1")
    """SQS collector: region of services that name none"""
    base_url: str | None = setting(
        None,
        example="https://sqs.us-west-1.amazonaws.com/123456789012/my-queue",
        pattern=r"^https?://[^/]+/.+",
    )
    """SQS collector: URL of the queue of its service"""
    sqs_visibility_timeout: int | None = setting(None, example=240, unit="seconds", ge=2, le=43_200)
    """SQS collector: as visibility_timeout_seconds of its services"""
    sqs_wait_timeout: int | None = without_effect(20, _OWN_LENGTH)
    sqs_max_messages: int | None = without_effect(1, _IN_TENS)
    ack_messages: Annotated[bool | None, BeforeValidator(_acknowledges)] = without_effect(
        example=True, why=_DELETED
    )
    direct_mode: bool | None = without_effect(example=False)
    do_not_send: Annotated[bool | None, BeforeValidator(_sends)] = without_effect(example=False, why=_SENT)
    compressed_events: bool | None = without_effect(example=False, why=_COMPRESSED)
    is_aws_service: bool | None = without_effect(example=True, why="each service's name tells how it is read")


def sqs_defaults(around: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Return what a service takes from an input of Devo's SQS collector, where it says nothing itself."""
    queue = {} if any(own.get(key) for key in _QUEUE_KEYS) else {"queue_url": around.get("base_url")}
    given = {
        "regions": around.get("region"),
        "visibility_timeout_seconds": around.get("sqs_visibility_timeout"),
        **queue,
    }
    return {name: value for name, value in given.items() if value not in (None, "")}
