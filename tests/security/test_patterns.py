"""No regular expression runs away: neither the users' on keys and lines, nor our own on foreign text."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args

import botocore.exceptions as boto
import pyarrow as pa
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from flows.catalogue.logs import CloudWatchLogsSettings
from flows.catalogue.services import SETTINGS
from flows.check.finding import denied
from flows.config.load import SettingsError, load
from flows.config.objects import SqsLogsSettings
from flows.config.patterns import KeyPattern
from flows.config.settings import Globals, Input
from sinks.frame import clean_host, clean_tag, guard
from sinks.request import waiting
from sinks.settings import Outputs
from sources.errors import Denied, translate
from sources.objects.decode import Layout
from sources.objects.json_text import scanner as json_scanner
from sources.queues import s3_notification
from tests.fuzz.objects import outcome
from tests.fuzz.texts import _NOW as NOW
from transforms import cloudfront, object_kinds, tags, umbrella, vpcflow
from transforms.block import Block, Origin
from transforms.filters import Filters, Rule, keep
from transforms.setting import description

RUNAWAYS = (r"(a+)+$", r"(a|a)*$", r"(a|aa)+$", r"(.*a){25}", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(\w+\s?)*$")
KEYS_OF_PATTERNS = {
    "regex",
    "s3_file_type_filter",
    "event_type_file_regex_patterns",
    "key_pattern",
    "pattern",
}


def models(root: Any) -> Iterator[type[BaseModel]]:
    """Yield the models within an annotation, each with those in its fields."""
    if isinstance(root, type) and issubclass(root, BaseModel):
        yield root
        for field in root.model_fields.values():
            yield from models(field.annotation)
    for part in get_args(root):
        yield from models(part)


ALL = {
    one
    for root in (Globals, Input, Outputs, CloudWatchLogsSettings, SqsLogsSettings, *SETTINGS.values())
    for one in models(root)
}
FIELDS = [
    (model, name)
    for model in sorted(ALL, key=lambda one: one.__name__)
    for name, field in model.model_fields.items()
    if re.search(r"\bregex", description(field), re.IGNORECASE) or "KeyPattern" in str(field.annotation)
]


def adapted(field: Any) -> "TypeAdapter[Any]":
    return TypeAdapter(Annotated[field.annotation, *field.metadata, None])


def test_every_setting_that_is_a_pattern_is_known():
    """A new key that takes a regular expression is looked at here, too."""
    assert {name for _, name in FIELDS} == KEYS_OF_PATTERNS


IMPOSSIBLE = (r"(a)\1", r"(?P<a>a)(?P=a)", r"a(?=b)", r"(?<=a)b", r"x(?!a)b")


def value(name: str, pattern: str) -> Any:
    """Return what a key of the configuration holds when it has a pattern."""
    return {"x": pattern} if name == "event_type_file_regex_patterns" else pattern


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=[f"{model.__name__}.{name}" for model, name in FIELDS]
)
@pytest.mark.parametrize("pattern", RUNAWAYS)
def test_patterns_on_keys_are_linear(model, name, pattern):
    """What would take a backtracking engine for ever is over at once, on keys longer than S3 has."""
    read = adapted(model.model_fields[name]).validate_python(value(name, pattern))
    for one in read.values() if isinstance(read, dict) else (read,):
        if model.__name__ not in {"LineRule", "FormatConfig"}:
            assert isinstance(one, KeyPattern)
            one.fits("a" * 100_000 + "!")


@pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=[f"{model.__name__}.{name}" for model, name in FIELDS]
)
@pytest.mark.parametrize("pattern", IMPOSSIBLE)
def test_settings_refuse_what_needs_to_go_back(model, name, pattern):
    """Each key that takes a pattern refuses what a linear engine cannot match."""
    with pytest.raises(ValidationError, match="no regular expression"):
        adapted(model.model_fields[name]).validate_python(value(name, pattern))


def test_an_impossible_pattern_is_told_at_load(tmp_path):
    """The configuration names the key, and says what to write instead."""
    services = {"cisco-umbrella": {"sqs_queue_name": "q", "s3_file_type_filter": IMPOSSIBLE[0]}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"inputs": {"a": {"id": 1, "services": services}}}))
    with pytest.raises(SettingsError, match=r"s3_file_type_filter .*no back-references: .*: write the text"):
        load(path, {"AWS_REGION": "eu-west-1"})


@pytest.mark.parametrize("pattern", RUNAWAYS)
def test_patterns_on_lines_are_linear(pattern):
    """What would take a backtracking engine for ever is over at once on a line of a mebibyte."""
    line = b"a" * ((1 << 20) - 2) + b"!\n"
    filters = Filters({"x": (Rule("line", pattern=pattern),)})
    kept, counts = keep(Block(line, 1, Origin("custom", object="s3://b/k")), filters)
    assert kept.count + sum(counts.values()) == 1


@pytest.mark.parametrize("pattern", ["((a{1,100}){1,100}){1,100}", "a{100000}", "(a)\\1"])
def test_patterns_too_large_for_their_engine_are_refused(pattern):
    """A pattern that would become gigabytes of automaton is an error of the configuration."""
    field = next(model for model in ALL if model.__name__ == "LineRule").model_fields["pattern"]
    with pytest.raises(ValidationError, match="no regular expression"):
        adapted(field).validate_python(pattern)


def refused(message: str) -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "ReceiveMessage")


N = 300_000
HOSTILE = {
    "spaces": b" " * N,
    "quotes": b'"' * N,
    "open strings": b'"\\' * N,
    "brackets": b"{[" * 400 + b" " * N,
    "borders": b'{"Records":[{"a":1}' + b"} , { " * N,
    "first key": b'{"Records":[' + b' {"a' * N,
    "commas": b'{"Records":[' + b" ," * N,
    "byte order marks": b"\xef\xbb\xbf" * N + b"x",
    "replacements": b"\xef\xbf\xbd" * N + b"x",
    "carriage returns": b"\r" * N,
    "dates": b'"2026-01-02 03:04' * N,
    "colons": b"https 2026-01-02T03:04:05.0Z x " + b"1:1" * N,
    "digits": b"2 " + b"1" * N,
    "dashes": b"eni-" * N,
}
OURS = {
    "lines": lambda text: outcome(text, Layout(is_header=vpcflow.is_header)),
    "quoted": lambda text: outcome(text, Layout(quoted=True, is_header=umbrella.is_header)),
    "comments": lambda text: outcome(text, Layout(comment=b"#")),
    "records": lambda text: outcome(text, Layout(records="Records")),
    "values": lambda text: outcome(text, Layout(values=True, between=b"||")),
    "scan": lambda text: (json_scanner.elements(text), json_scanner.end_of(text, 0)),
    "notice": lambda text: s3_notification.parse(text.decode()),
    "kinds": lambda text: [
        found("k", text)
        for found in (object_kinds.is_alb, object_kinds.is_elb, object_kinds.is_s3_access, vpcflow.detect)
    ],
    "cloudfront": lambda text: cloudfront.detect("k", text),
    "umbrella": lambda text: umbrella.detect("dnslogs/k", text),
    "guard": lambda text: guard(Block(text + b"\n", 1, Origin("x"), "a.b"), 1024),
    "tag": lambda text: (clean_tag(text.decode()), clean_host(text.decode()), tags.level(text.decode())),
    "retry after": lambda text: waiting(text.decode()[:65_536], NOW),
    "refusal": lambda text: translate(refused(text.decode()), "here"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_our_own_patterns_are_linear_on_foreign_text(ours, hostile):
    """Text on which a pattern that is only quadratic would take minutes is over in the time limit."""
    OURS[ours](HOSTILE[hostile])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", ["arn:" * N, "User: " * N, "arn:aws:s3:" * N, "x is not authorized" * N])
def test_our_own_patterns_are_linear_on_replies(text):
    """What AWS, or a proxy in its place, gives as its reason is looked at as far as a person reads."""
    error = translate(refused(text), "here", "sqs:ReceiveMessage")
    assert isinstance(error, Denied)
    assert len(str(error)) < 10_000
    denied(error, "sqs:ReceiveMessage", "me", "queue")


def test_engine_of_lines_knows_no_backtracking():
    """Arrow's patterns are RE2's: what only a backtracking engine can do is refused."""
    with pytest.raises(pa.ArrowInvalid):
        pa.compute.match_substring_regex(pa.array(["aa"]), r"(a)\1")
