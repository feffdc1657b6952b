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

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, Strict, model_validator

from flows.config.base import TypedSettings
from flows.config.file_formats import FileFormat
from flows.config.types import (
    MOST_LEVELS,
    Model,
    Pattern,
    Region,
    one_or_many,
    only_text,
)
from transforms.fields import KeyFields, Operation, RecordField, key_fields, replaced, split
from transforms.routed import PLACEHOLDER, Rule, compiles
from transforms.setting import About, no_effect, without_effect

CUSTOM_KEYS = frozenset({"file_format", "routing_template"})
"""What makes a service of any other name one of these."""

_NO_EVENTS = re.compile(
    r"(?:^|/)(?:ConfigWritabilityCheckFile|ELBAccessLogTestFile|_SUCCESS|ownership-challenge-[^/]*)$"
)
"""Objects that AWS, CrowdStrike and Cloudflare write to see whether they can, or to say that they have."""

_QUEUE_KEYS = ("sqs_queue_name", "queue_url", "queue_name")
_LEVEL = re.compile(r"[A-Za-z0-9_-]+")
_BRACED = re.compile(r"\{(event_type|account|region)\}")


class FieldOperation(Model):
    """One step from a text to a value."""

    operator: Literal["split", "replace"] = Field(description="What to do", examples=["split"])
    on: str = Field("/", min_length=1, description="split: what to divide at", examples=["/"])
    element: int = Field(0, description="split: which part to keep, from 0; -1 is the last", examples=[0])
    to_replace: str = Field("", description="replace: each of these", examples=["_"])
    replace_with: str = Field("", description="replace: becomes this", examples=[""])

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, value: object) -> object:
        """Read the key `on`, which YAML takes for true when it stands without quotes."""
        if isinstance(value, dict) and value.keys() & {"True", True}:
            return {"on" if key in ("True", True) else key: inner for key, inner in value.items()}
        return value

    @property
    def step(self) -> Operation:
        """The step as a function."""
        if self.operator == "split":
            return split(self.on, self.element)
        return replaced(self.to_replace, self.replace_with)


class RecordMapping(Model):
    """A value in each JSON event."""

    keys: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(one_or_many)] = Field(
        description="The way to it, from the top down", examples=[["file", "type"]]
    )
    operations: tuple[FieldOperation, ...] = Field((), description="What to do with it", examples=[[]])


class FileRule(Model):
    """A condition on an object's key."""

    type: Literal["match", "doesnotmatch"] = Field(
        "match", description="Whether the pattern must be found, or must not", examples=["match"]
    )
    pattern: Pattern = Field(description="Regex searched in the object's key", examples=["CloudTrail-Digest"])

    def fits(self, key: str) -> bool:
        """Tell whether a key fulfils the condition."""
        return self.pattern.fits(key) == (self.type == "match")


def _re2(value: str) -> str:
    compiles(value)
    return value


class LineRule(Model):
    """A condition on an event."""

    source: Literal["record", "file", "line"] = Field(
        "line",
        description="What it is about: a field of record_field_mapping, one of file_field_definitions, "
        "or the event's text",
        examples=["record"],
    )
    key: str = Field("", description="Name of the field", examples=["event_simpleName"])
    type: Literal["match", "doesnotmatch"] = Field(
        "match", description="Whether value or pattern must fit, or must not", examples=["match"]
    )
    value: str = Field("", description="Text that the field must be", examples=["EndOfProcess"])
    pattern: Annotated[str, AfterValidator(_re2)] = Field(
        "", description="Regex (RE2) to be found instead", examples=["^(DEBUG|TRACE) "]
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.source == "line" and (self.key or self.value or not self.pattern):
            raise ValueError("is about the event's text: give a pattern, or a source and a key")
        if self.source != "line" and not self.key:
            raise ValueError(f"has no key: name the field of {self.source}")
        if self.value and self.pattern:
            raise ValueError("has a value and a pattern: keep one")
        return self

    @property
    def rule(self) -> Rule:
        """The condition as the transform takes it."""
        return Rule(self.source, self.key, self.value, self.pattern, self.type == "doesnotmatch")


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

    types: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(
        (),
        description=no_effect("the service's name is its type"),
        examples=[["custom_service"]],
        json_schema_extra=About(effect=False, why="the service's name is its type"),
    )
    auto_event_type: bool | None = Field(
        None,
        description="CloudTrail, by default true: the tag's last level is the service; VPC flow, likewise. "
        "CrowdStrike, likewise: it is the event's name",
        examples=[True],
    )
    format: Literal["raw", "json"] = Field(
        "raw",
        description="VPC flow and CloudFront lines as they are, or as JSON",
        examples=["json"],
        json_schema_extra=About(ours=True),
    )
    file_format: FileFormat | None = Field(
        None,
        description="How objects are cut into events",
        examples=[{"type": "line_split_processor", "config": {"json": True}}],
    )
    routing_template: Annotated[str, Strict(), AfterValidator(_template), only_text("devo-tag")] | None = (
        Field(
            None,
            description="Devo tag, with [file-NAME] of file_field_definitions and [record-NAME] of "
            "record_field_mapping",
            examples=["my.app.web.[file-log_type]"],
        )
    )
    file_field_definitions: dict[str, tuple[FieldOperation, ...]] = Field(
        default_factory=dict,
        description="Name → how its value is made of the object's key",
        examples=[{"log_type": [{"operator": "split", "on": "/", "element": 0}]}],
    )
    key_pattern: Pattern | None = Field(
        None,
        description="Regex searched in the object's key, whose named groups are file fields too",
        examples=["^(?P<log_type>[^/]+)/"],
        json_schema_extra=About(ours=True),
    )
    add_file_fields: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(
        (),
        description="File fields to put into each JSON event",
        examples=[["log_type"]],
        json_schema_extra=About(ours=True),
    )
    filename_filter_rules: tuple[tuple[FileRule, ...], ...] = Field(
        (),
        description="Objects are not read whose key fulfils all conditions of one of the lists",
        examples=[[[{"type": "match", "pattern": "CloudTrail-Digest"}]]],
    )
    record_field_mapping: dict[str, RecordMapping] = Field(
        default_factory=dict,
        description="Name → where its value is in a JSON event",
        examples=[{"kind": {"keys": ["file", "type"]}}],
    )
    line_filter_rules: tuple[tuple[LineRule, ...], ...] = Field(
        (),
        description="Events are counted and not sent that fulfil all conditions of one of the lists",
        examples=[[[{"source": "record", "key": "kind", "type": "match", "value": "EndOfProcess"}]]],
    )
    regions: Annotated[tuple[Region, ...], BeforeValidator(one_or_many)] = Field(
        (),
        validation_alias=AliasChoices("regions", "region"),
        description="AWS regions, each with a state of its own; by default the input's, else $AWS_REGION's",
        examples=[["eu-west-1"]],
    )
    queue_url: str | None = Field(
        None,
        validation_alias=AliasChoices("queue_url", "base_url"),
        pattern=r"^https?://[^/]+/.+",
        description="URL of the queue; names account and region",
        examples=["https://sqs.eu-west-1.amazonaws.com/123456789012/cloudtrail"],
        json_schema_extra=About(ours=True),
    )
    visibility_timeout_seconds: int = Field(
        120,
        validation_alias=AliasChoices("visibility_timeout_seconds", "sqs_visibility_timeout"),
        ge=2,
        le=43_200,
        description="A message comes again when no sign of life was given for so long; one is given at half "
        "time",
        examples=[120],
        json_schema_extra=About(unit="seconds", ours=True),
    )
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
        return self._generic_queue(
            "has no queue: add sqs_queue_name, its name or URL (or the input's base_url)"
        )

    @model_validator(mode="after")
    def _knows_its_queue(self) -> Self:
        if self.enabled:
            self.queues("")
        return self

    @model_validator(mode="after")
    def _fields_are_there(self) -> Self:
        """Check that every field that is asked for is defined."""
        template = self.routing_template or ""
        asked = [
            *PLACEHOLDER.findall(template),
            *(("file", name) for name in self.add_file_fields),
            *((one.source, one.key) for rules in self.line_filter_rules for one in rules if one.key),
        ]
        groups = self.key_pattern.groups if self.key_pattern else ()
        known = {"file": {*self.file_field_definitions, *groups}, "record": {*self.record_field_mapping}}
        places = {"file": "file_field_definitions or key_pattern", "record": "record_field_mapping"}
        for source, name in asked:
            if name not in known[source]:
                raise ValueError(f"asks for {source} field {name}: define it in {places[source]}")
        if self.file_format and not self.file_format.of_json and (known["record"] or self.add_file_fields):
            raise ValueError("reads or adds fields of events that are text: only JSON events have fields")
        if self.tag and self.routing_template:
            raise ValueError("has tag and routing_template: keep one")
        room = MOST_LEVELS - (0 if self.tag_suffix == "none" else 2)
        if len(template.split(".")) > room:
            raise ValueError("has a routing_template and a tag_suffix of more than 6 levels together")
        return self

    @property
    def is_custom(self) -> bool:
        """Whether these settings alone say how objects are cut and tagged."""
        return self.file_format is not None and bool(self.routing_template or self.tag)

    @property
    def key_filter(self) -> Callable[[str], bool]:
        """Whether an object's key is to be read."""
        pattern, rules = super().key_filter, self.filename_filter_rules

        def wanted(key: str) -> bool:
            if _NO_EVENTS.search(key) or not pattern(key):
                return False
            return not any(all(rule.fits(key) for rule in one) for one in rules if one)

        return wanted

    @property
    def key_fields(self) -> KeyFields:
        """Takes the file fields out of an object's key."""
        definitions = {
            name: tuple(one.step for one in steps) for name, steps in self.file_field_definitions.items()
        }
        search = {"search": self.key_pattern.search} if self.key_pattern else {}
        return key_fields(definitions, **search)

    @property
    def record_fields(self) -> tuple[RecordField, ...]:
        """The fields of events that the settings name."""
        return tuple(
            RecordField(name, one.keys, tuple(step.step for step in one.operations))
            for name, one in self.record_field_mapping.items()
        )

    @property
    def rules(self) -> tuple[tuple[Rule, ...], ...]:
        """What drops events."""
        return tuple(tuple(one.rule for one in rules) for rules in self.line_filter_rules if rules)


class SqsInput(Model):
    """What an input of Devo's SQS collector says for its services."""

    region: Region | None = Field(
        None, description="SQS collector: region of services that name none", examples=["us-west-1"]
    )
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]+/.+",
        description="SQS collector: URL of the queue of its service",
        examples=["https://sqs.us-west-1.amazonaws.com/123456789012/my-queue"],
    )
    sqs_visibility_timeout: int | None = Field(
        None,
        ge=2,
        le=43_200,
        description="SQS collector: as visibility_timeout_seconds of its services",
        examples=[240],
        json_schema_extra=About(unit="seconds"),
    )
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
