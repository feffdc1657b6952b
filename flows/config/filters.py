"""What of a service's events is not sent, and what of them is hidden: rules that every service takes.

record_field_mapping      names values in events, for the rules
line_filter_rules         lists of conditions; an event that fulfils all of one list is dropped
drop_event_names          the same for the name of an event
keep_one_in               a sample
mask                      fields whose values are replaced
filename_filter_rules     for objects: those not to be read (in `ObjectsSettings`)
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from flows.config.types import (
    LinePattern,
    Model,
    OneOrMany,
    OneOrSeveral,
    Pattern,
    one_or_many,
)
from transforms.fields import Operation, RecordField, replaced, split
from transforms.filters import Rule
from transforms.setting import setting


class FieldOperation(Model):
    """One step from a text to a value."""

    operator: Literal["split", "replace"] = setting(example="split")
    """What to do"""
    on: str = setting("/", example="/", min_length=1)
    """split: what to divide at"""
    element: int = setting(0, example=0)
    """split: which part to keep, from 0; -1 is the last"""
    to_replace: str = setting("", example="_")
    """replace: each of these"""
    replace_with: str = setting("", example="")
    """replace: becomes this"""

    @property
    def step(self) -> Operation:
        """The step as a function."""
        if self.operator == "split":
            return split(self.on, self.element)
        return replaced(self.to_replace, self.replace_with)


class RecordMapping(Model):
    """A value in each JSON event."""

    keys: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(one_or_many)] = setting(
        example=["file", "type"]
    )
    """The way to it, from the top down"""
    operations: OneOrSeveral[FieldOperation] = setting((), example=[])
    """What to do with it"""


class FileRule(Model):
    """A condition on an object's key."""

    type: Literal["match", "doesnotmatch"] = setting("match", example="match")
    """Whether the pattern must be found, or must not"""
    pattern: Pattern = setting(example="CloudTrail-Digest")
    """Regex searched in the object's key"""

    def fits(self, key: str) -> bool:
        """Tell whether a key fulfils the condition."""
        return self.pattern.fits(key) == (self.type == "match")


class LineRule(Model):
    """A condition on an event."""

    source: Literal["record", "file", "line"] = setting("line", example="record")
    """What it is about: a field of record_field_mapping, one of file_field_definitions, or the event's
    text"""
    key: str = setting("", example="event_simpleName")
    """Name of the field"""
    type: Literal["match", "doesnotmatch"] = setting("match", example="match")
    """Whether value or pattern must fit, or must not"""
    value: str = setting("", example="EndOfProcess")
    """Text that the field must be"""
    pattern: LinePattern = setting("", example="^(DEBUG|TRACE) ")
    """Regex (RE2) to be found instead"""
    keep_one_in: int = setting(1, example=100, ours=True, ge=1)
    """Instead: fits all but one in so many texts or values; the same one each time"""

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.keep_one_in > 1 and (self.value or self.pattern):
            raise ValueError("has keep_one_in beside a value or pattern: write two conditions of one list")
        if self.source == "line" and (self.key or self.value or not (self.pattern or self.keep_one_in > 1)):
            raise ValueError("is about the event's text: give a pattern, or a source and a key")
        if self.source != "line" and not self.key:
            raise ValueError(f"has no key: name the field of {self.source}")
        if self.value and self.pattern:
            raise ValueError("has a value and a pattern: keep one")
        return self

    @property
    def rule(self) -> Rule:
        """The condition as the transform takes it."""
        negated = self.type == "doesnotmatch"
        return Rule(self.source, self.key, (self.value,), self.pattern, negated, self.keep_one_in)


class MaskSettings(Model):
    """Fields of JSON events whose values nobody shall see."""

    keys: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(one_or_many)] = setting(
        example=["sourceIPAddress", "userIdentity.userName"]
    )
    """The fields; a dot goes one level down, also in each element of a list"""
    with_: str = setting("***", example="***", alias="with")
    """What stands there instead"""

    @model_validator(mode="after")
    def _names_fields(self) -> Self:
        if wrong := [key for key in self.keys if not all(key.split("."))]:
            raise ValueError(f"has a key {wrong[0]!r}: write names with a dot between two levels")
        return self


class FilterSettings(Model):
    """What every service has that leaves events out, or hides what is in them."""

    record_field_mapping: dict[str, RecordMapping] = setting(
        example={"kind": {"keys": ["file", "type"]}}, default_factory=dict
    )
    """Name → where its value is in a JSON event; in rows of text, the column's name in the header, or its
    number from 0"""
    line_filter_rules: tuple[tuple[LineRule, ...], ...] = setting(
        (), example=[[{"source": "record", "key": "kind", "type": "match", "value": "EndOfProcess"}]]
    )
    """Events are counted and not sent that fulfil all conditions of one of the lists"""
    drop_event_names: OneOrMany[str] = setting((), example=["Decrypt"], ours=True)
    """Events with these names are counted and not sent; docs/types.md tells which field is the name"""
    keep_one_in: int = setting(1, example=10, ours=True, ge=1)
    """Send one event in so many, always the same ones: its text decides. The rest is counted"""
    mask: MaskSettings | None = setting(None, example={"keys": ["sourceIPAddress"], "with": "***"}, ours=True)
    """Fields of JSON events whose values are replaced before they are sent; quarantine keeps what came"""

    @property
    def file_names(self) -> AbstractSet[str]:
        """The names of values in objects' keys."""
        return frozenset()

    @property
    def record_fields(self) -> tuple[RecordField, ...]:
        """The fields of events that the settings name."""
        return tuple(
            RecordField(name, one.keys, tuple(step.step for step in one.operations))
            for name, one in self.record_field_mapping.items()
        )

    @property
    def filter_rules(self) -> Mapping[str, tuple[Rule, ...]]:
        """What drops events, by what it is counted under; `drop_event_names` is for the service to read."""
        found = {
            f"line_filter_rules[{number}]": tuple(one.rule for one in rules)
            for number, rules in enumerate(self.line_filter_rules)
            if rules
        }
        sample = {"keep_one_in": (Rule("line", keep_one_in=self.keep_one_in),)}
        return found | (sample if self.keep_one_in > 1 else {})

    def fields_asked_for(self) -> list[tuple[str, str]]:
        """Return (source, name) of each field that the settings use."""
        return [(one.source, one.key) for rules in self.line_filter_rules for one in rules if one.key]

    @model_validator(mode="after")
    def _fields_are_there(self) -> Self:
        """Check that every field that is asked for is defined."""
        known = {"file": self.file_names, "record": self.record_field_mapping.keys()}
        places = {"file": "file_field_definitions or key_pattern", "record": "record_field_mapping"}
        for source, name in self.fields_asked_for():
            if name not in known[source]:
                raise ValueError(f"asks for {source} field {name}: define it in {places[source]}")
        return self
