"""Kinds of values in the configuration: times, regions, tags, patterns, request limits."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    Strict,
    WithJsonSchema,
    model_validator,
)

from flows.config.patterns import KeyPattern, compiled
from sources.aws.partitions import is_region, known_by
from sources.queues.bucket_trust import BucketRule
from transforms.filters import compiles
from transforms.setting import SettingsModel, setting

_PERIOD = re.compile(r"(\d+)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LEVEL = re.compile(r"[A-Za-z0-9_-]+")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
TAG_PLACEHOLDERS = frozenset({"event_type", "account", "region"})
MOST_LEVELS = 6
"""Of a Devo tag."""


class Model(SettingsModel):
    """What the settings of flows have in common: a number stands for a text, no error shows a value."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)


def _moment(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("is no time: write it as text, like 2026-01-02T03:04:05Z")  # noqa: TRY004 - pydantic
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError("is no ISO 8601 time, like 2026-01-02T03:04:05Z") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""An ISO 8601 time; without a zone it is UTC. Becomes a datetime in UTC."""


def region(value: str) -> str:
    """Return a region's name. Raises ValueError for what is none."""
    if not is_region(value):
        meant = value.strip().lower()
        hint = f": did you mean {meant}?" if is_region(meant) else ", like eu-west-1"
        raise ValueError(f"is no region that {known_by()} knows{hint}")
    return value


def only_text(form: str) -> WithJsonSchema:
    """Return the schema of a text that no number may stand for. form: its name, for people."""
    return WithJsonSchema({"type": "string", "format": form})


Region = Annotated[str, Strict(), AfterValidator(region), only_text("aws-region")]


def one_or_many(value: object) -> object:
    """Read a single text as a list of one."""
    return [value] if isinstance(value, str) else value


def one_or_several(value: object) -> object:
    """Read a single mapping, text or number as a list of one, where lists hold more than texts."""
    return [value] if isinstance(value, str | dict | int) and not isinstance(value, bool) else value


_T = TypeVar("_T")
OneOrMany = Annotated[tuple[_T, ...], BeforeValidator(one_or_many)]
OneOrSeveral = Annotated[tuple[_T, ...], BeforeValidator(one_or_several)]


def _tag(value: str) -> str:
    unknown = sorted(set(_PLACEHOLDER.findall(value)) - TAG_PLACEHOLDERS)
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(TAG_PLACEHOLDERS))
        raise ValueError(f"has an unknown placeholder {{{unknown[0]}}}; known are {known}")
    levels = _PLACEHOLDER.sub("x", value).split(".")
    if not 1 < len(levels) <= MOST_LEVELS:
        raise ValueError(
            f"has {len(levels)} level{'s'[: len(levels) != 1]}; a Devo tag has 2 to 6, dot-separated"
        )
    if not all(_LEVEL.fullmatch(level) for level in levels):
        raise ValueError("has a level with other than letters, digits, _ and -")
    return value


Tag = Annotated[str, Strict(), AfterValidator(_tag), only_text("devo-tag")]
"""A Devo tag, perhaps with placeholders."""


def _pattern(value: object) -> KeyPattern:
    if isinstance(value, KeyPattern):
        return value
    if not isinstance(value, str):
        raise ValueError("is no regular expression: write it as text")  # noqa: TRY004 - pydantic
    return compiled(value)


Pattern = Annotated[
    KeyPattern, PlainValidator(_pattern), WithJsonSchema({"type": "string", "format": "regex"})
]
"""A regular expression on an object's key, RE2's (see `flows/config/patterns.py`)."""


def _of_lines(value: str) -> str:
    compiles(value)
    return value


LinePattern = Annotated[str, AfterValidator(_of_lines)]
"""A regular expression on events, RE2's, which Arrow runs over all lines of a block."""


def _event_types(value: object) -> object:
    """Read {type: regex}, [{type: regex}, …] and [{event_type: …, pattern: …}, …] alike."""
    if not isinstance(value, list):
        return value
    pairs: dict[str, object] = {}
    for entry in value:
        if not isinstance(entry, dict):
            raise ValueError("is a list of something else than `event_type: regex`")  # noqa: TRY004 - pydantic
        named = entry.keys() == {"event_type", "pattern"}
        pairs |= {entry["event_type"]: entry["pattern"]} if named else entry
    return pairs


_REGEX_MAP = {"type": "object", "additionalProperties": {"type": "string", "format": "regex"}}

EventTypes = Annotated[
    dict[str, Pattern],
    BeforeValidator(_event_types),
    WithJsonSchema(
        {"anyOf": [_REGEX_MAP, {"type": "array", "items": {"type": "object"}}]},
    ),
]
"""Event type → regex on the key; the first that fits, in the order of the configuration, is the type."""


def _bucket(value: object) -> object:
    """Read NAME and NAME/PREFIX; s3:// before it is as good."""
    if not isinstance(value, str):
        return value
    name, _, prefix = value.removeprefix("s3://").partition("/")
    return {"name": name, "prefix": prefix}


class BucketSetting(Model):
    """Buckets that a service reads from."""

    name: str = setting("*", example="aws-waf-logs-*", pattern=r"^[A-Za-z0-9._*?-]{1,255}$")
    """Name of the bucket, with * and ? for what varies"""
    prefix: str = setting("", example="AWSLogs/")
    """How keys begin"""
    account: str = setting("", example="123456789012", pattern=r"^(\d{12})?$")
    """The account that owns it: S3 is asked for objects of its buckets only"""

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return _bucket(value)

    @property
    def rule(self) -> BucketRule:
        """The setting as the sources take it."""
        return BucketRule(self.name, self.prefix, self.account)


class BudgetSetting(Model):
    """What calls of AWS may cost a month (UTC), by list price."""

    usd_per_month: float = setting(example=50, unit="USD a month", ours=True, gt=0)
    """Most that may be spent"""
    on_exceed: Literal["slow", "stop", "warn"] = setting("slow", example="slow", ours=True)
    """slow: poll as seldom as the month needs; stop: spend it, then rest until the month turns; warn: tell
    it. Audit events and findings are never slowed or stopped"""
    last: OneOrMany[str] = setting((), example=["metrics-of-queues", "/aws/lambda/debug-*"], ours=True)
    """Services, by their keys, and log groups that are read last; * stands for anything. Namespaces of
    metrics come last as a service of their own"""
    usd_per_gb: float = setting(0, example=0.09, unit="USD a GB", ours=True, ge=0)
    """What is paid for each GB received besides: 0.09 where the collector runs outside of AWS"""


class ListingSetting(Model):
    """Objects that no queue announces: their bucket is listed every so often."""

    bucket: str = setting(example="cisco-managed-us-west-1", ours=True, pattern=r"^[A-Za-z0-9._-]{1,255}$")
    """Name of the bucket"""
    prefix: str = setting("", example="1234567_0a1b2c3d/", ours=True)
    """How keys begin, up to a /: what lies elsewhere is neither listed nor read"""
    every_seconds: float = setting(300, example=60, unit="seconds", ours=True, ge=1)
    """From one listing to the next. Each asks once for every folder, but those of days gone by, and for
    each thousand of keys"""
    late_seconds: float = setting(86_400, example=21_600, unit="seconds", ours=True, ge=0)
    """How long after the time that it says, or was written at, a key may appear and is found: folders of
    days so long gone are listed no more. The ids of what was found meanwhile are in the state, a million
    at most"""
    start_time: Moment | None = setting(None, example="2026-01-02T03:04:05Z", ours=True)
    """Collect what is of this time (ISO 8601) or later, by its name or folder or by when it was written;
    by default from the first start. Changing it begins anew from there"""

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Read BUCKET/PREFIX, with or without s3://."""
        if not isinstance(value, str):
            return value
        bucket, _, prefix = value.removeprefix("s3://").partition("/")
        return {"bucket": bucket, "prefix": prefix}


class RequestLimit(Model):
    """At most so many requests in each period."""

    period: str = setting(example="1d", pattern=r"^\d+\s*[smhd]$")
    """Number and unit: s, m, h or d"""
    number_of_requests: int = setting(example=10_000, ge=-1)
    """Requests in one period; -1 means unlimited"""

    @property
    def seconds(self) -> int:
        """The period in seconds."""
        found = _PERIOD.fullmatch(self.period)
        assert found  # noqa: S101 - the field's pattern is the same
        return int(found[1]) * _SECONDS[found[2]]
