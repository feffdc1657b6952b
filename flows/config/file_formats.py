"""`file_format` of a custom service: the processors of Devo's SQS collector, each as a `Layout` here.

Documented by Devo ("General setup for S3 SQS collector", "file_format"): the names below and, for those with
keys in `_PROCESSORS`, their `config`. Of `jamf` and `bluecoat` it says only that they are for these logs: (I)
they cut what Jamf Protect writes (JSON values in a row), and what Blue Coat's "Access Logging" calls W3C ELFF
(lines below `#Fields:`). What else Devo names but does not describe (Windows security …) is refused. `csv`
and `json` are our own short names.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from flows.config.types import LinePattern, Model, OneOrMany, OneOrSeveral
from transforms import documents, vpcflow
from transforms.columns import Columns
from transforms.filters import Rule
from transforms.layout import Layout
from transforms.setting import setting, without_effect

_SUFFIX = "_processor"


_LINE_ENDS = ("\n", "\r\n")
_KEYS = OneOrMany[str]


class FormatConfig(Model):
    """Parameters of a processor."""

    key: _KEYS = setting((), example="Records")
    """JSON processors: events are under this key; several are the way from the top down"""
    keys: _KEYS = setting((), example=["stdout", "stderr"])
    """json_object_to_linesplit: the keys whose text holds lines"""
    extraction_key: _KEYS = setting((), example="event")
    """unseparated_json_processor_extract_key: the key in each object below `key` whose value is the event,
    or the events"""
    include: dict[str, str] = setting(example={"logGroup": "log_group"}, default_factory=dict)
    """Key beside `key` → its name in each event, where it is put in"""
    rename: dict[str, str] = setting(example={"msg": "message"}, default_factory=dict)
    """Key of an event → its new name"""
    flat: bool | None = without_effect(example=True, why="without key, a whole object is one event")
    json_: bool | None = setting(None, example=True, alias="json")
    """line_split: true when lines are JSON, which fields of events need; seen by itself"""
    separator: str = setting("", example="||")
    """separated_json: what stands between two objects; a newline may"""
    line_separator: str = setting("\n", example="\n", min_length=1)
    """line_split, text_file: what ends a line; by default a newline, with or without \\r"""
    chunks: bool = setting(default=False, example=True)
    """line_split: true: only lines are events that one of the next three keys names; the others are
    counted as dropped by the rule `chunks`"""
    indices: OneOrSeveral[Annotated[int, Field(ge=0)]] = setting((), example=[0, 2])
    """With chunks: numbers of lines of the object, from 0, blank ones left out"""
    substrings: _KEYS = setting((), example=["ERROR"])
    """With chunks: lines that hold one of these"""
    regex: OneOrMany[LinePattern] = setting((), example=["^E[0-9]+ "])
    """With chunks: lines in which one of these is found, each a regex (RE2)"""
    header: bool | None = setting(None, example=True)
    """text_file: the first line names the columns; for csv it does"""
    header_field_separator: str | None = setting(None, example=",", min_length=1, max_length=1)
    """text_file: the same as field_separator"""
    field_separator: str | None = setting(None, example="\t", min_length=1, max_length=1)
    """text_file: what divides columns, by default a comma"""
    field_names: _KEYS = setting((), example=["time", "user"])
    """text_file: names of the columns where no line tells them"""
    use_json: bool | None = setting(None, example=True)
    """text_file, parquet: rows become JSON objects; for csv and parquet they do"""

    @property
    def comma(self) -> str:
        """What divides columns."""
        return self.field_separator or self.header_field_separator or ","

    @property
    def line_end(self) -> bytes:
        """What ends a line, b"" for a newline."""
        return b"" if self.line_separator in _LINE_ENDS else self.line_separator.encode()

    @property
    def unchosen(self) -> tuple[Rule, ...]:
        """What lines fulfil that no selector names; () when all lines are events."""
        patterns = (*map(re.escape, self.substrings), *self.regex)
        numbers = (Rule("number", "", tuple(map(str, self.indices)), negated=True),) if self.indices else ()
        return (
            (*numbers, *(Rule("line", pattern=one, negated=True) for one in patterns)) if self.chunks else ()
        )


def _lines(config: FormatConfig) -> Layout:
    return Layout(separator=b"\t", line_end=config.line_end)


def _rows(config: FormatConfig) -> Layout:
    named = (lambda _line: True) if config.header else None
    return Layout(
        is_header=named, quoted=config.comma == ",", separator=config.comma.encode(), line_end=config.line_end
    )


def _flow(_config: FormatConfig) -> Layout:
    return Layout(
        is_header=vpcflow.is_header, glued=True, other_headers=vpcflow.other_headers, column=vpcflow.column
    )


def _values(config: FormatConfig) -> Layout:
    if not (config.key or config.include or config.rename):
        return Layout(values=True, between=config.separator.strip().encode())
    alone = len(config.key) == 1 and not config.include and not config.rename
    return Layout(
        values=True,
        between=config.separator.strip().encode(),
        records=config.key[0] if alone else "",
        unwrap=documents.under(config.key, config.include, config.rename),
    )


def _extracted(config: FormatConfig) -> Layout:
    take = documents.under(config.key, {}, {}) if config.key else lambda document: [document]
    return Layout(values=True, unwrap=documents.within(config.key, config.extraction_key, take))


def _line_texts(config: FormatConfig) -> Layout:
    return Layout(values=True, unwrap=documents.lines_under((*config.key, *config.keys)))


def _either(_config: FormatConfig) -> Layout:
    return Layout(values=True, or_lines=True, separator=b"\t")


_OF_JSON = frozenset({"key", "include", "rename", "flat"})
_SELECTORS = ("indices", "substrings", "regex")
_OF_TEXT = frozenset(
    {
        "line_separator",
        "header",
        "header_field_separator",
        "field_separator",
        "field_names",
        "use_json",
    }
)

_PROCESSORS: Mapping[str, tuple[Callable[[FormatConfig], Layout], frozenset[str]]] = {
    "line_split": (_lines, frozenset({"json_", "line_separator", *_SELECTORS, "chunks"})),
    "bluecoat": (lambda _: Layout(comment=b"#"), frozenset()),
    "jamf": (_values, frozenset()),
    "aws_access_logs": (_lines, frozenset()),
    "split_or_unseparated": (_either, frozenset()),
    "text_file": (_rows, _OF_TEXT),
    "csv": (_rows, _OF_TEXT),
    "parquet": (_rows, frozenset({"use_json"})),
    "vpc_flow": (_flow, frozenset()),
    "json": (_values, _OF_JSON),
    "unseparated_json": (_values, _OF_JSON),
    "unseparated_json_processor_extract_key": (_extracted, frozenset({"key", "extraction_key"})),
    "single_json_object": (_values, _OF_JSON),
    "separated_json": (_values, _OF_JSON | {"separator"}),
    "json_array": (_values, _OF_JSON),
    "json_line_arrays": (_values, _OF_JSON),
    "json_line_arrow": (_values, _OF_JSON),
    "json_object_to_linesplit": (_line_texts, frozenset({"key", "keys"})),
    "guardduty": (lambda _: Layout(values=True, unwrap=documents.carried), frozenset()),
}
"""Name → what makes its layout, and the keys of `config` that it knows. `_processor` may follow."""

_UNDESCRIBED = ("dict", "windows_security")
_TEXT = frozenset(
    {"line_split", "bluecoat", "aws_access_logs", "split_or_unseparated", "text_file", "vpc_flow"}
)


class FileFormat(Model):
    """How the objects of a service are cut into events."""

    type: str = setting(
        example="line_split_processor",
        description=f"Processor of Devo's SQS collector: {', '.join(sorted(_PROCESSORS))}, each with or "
        f"without {_SUFFIX}",
    )
    config: FormatConfig = setting(
        example={"json": True}, default_factory=lambda: FormatConfig.model_validate({})
    )
    """Parameters of the processor"""

    @property
    def name(self) -> str:
        """The processor's name without its suffix."""
        return self.type.removesuffix(_SUFFIX)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.name not in _PROCESSORS:
            known = ", ".join(sorted(_PROCESSORS))
            if self.type in _UNDESCRIBED or self.name in _UNDESCRIBED:
                raise ValueError(f"is {self.type}, which Devo does not describe: use one of {known}")
            raise ValueError(f"has an unknown type {self.type}: use one of {known}")
        unknown = sorted(self.config.model_fields_set - _PROCESSORS[self.name][1])
        if unknown:
            raise ValueError(f"has {unknown[0].rstrip('_')}, which {self.type} does not know: remove it")
        selectors = [name for name in _SELECTORS if getattr(self.config, name)]
        if bool(selectors) != self.config.chunks:
            missing = "chunks: true, which they need" if selectors else f"one of {', '.join(_SELECTORS)}"
            raise ValueError(f"selects lines without {missing}")
        if self.name == "json_object_to_linesplit" and not (self.config.key or self.config.keys):
            raise ValueError("has no key: say under which key the lines are")
        if self.name == "unseparated_json_processor_extract_key" and not self.config.extraction_key:
            raise ValueError("has no extraction_key: say under which key of each object the event is")
        if not self.config.key and (self.config.include or self.config.rename):
            raise ValueError("has include or rename without key: say under which key the events are")
        return self

    def layout(self) -> Layout:
        """Return how objects are cut."""
        return _PROCESSORS[self.name][0](self._config())

    def columns(self) -> Columns | None:
        """Return how rows become JSON, None when they stay as they are."""
        config = self._config()
        if not config.use_json:
            return None
        names: Sequence[str] = () if config.header else config.field_names
        return Columns(config.comma, tuple(names), config.comma == "," and self.name != "parquet")

    @property
    def of_json(self) -> bool:
        """Whether events may be JSON objects, with fields to be read and added."""
        return bool(self.name not in _TEXT or self.config.json_ or self.config.use_json) or (
            self.name == "split_or_unseparated"
        )

    def _config(self) -> FormatConfig:
        """Return the parameters, with those that the name stands for."""
        of: dict[str, dict[str, object]] = {
            "csv": {"header": not self.config.field_names, "use_json": True},
            "parquet": {"header": True, "use_json": True, "field_separator": "\t"},
        }
        defaults = of.get(self.name, {})
        given = {name: value for name, value in self.config if name in self.config.model_fields_set}
        return self.config.model_copy(update={**defaults, **given})
