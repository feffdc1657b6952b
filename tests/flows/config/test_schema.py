"""The JSON Schema takes what the loader takes, and refuses what it refuses, key by key in all spellings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flows.catalogue.services import ANY_NAME, SETTINGS
from flows.config.base import ServiceSettings
from flows.config.load import SettingsError, first_spelling, load
from flows.config.model_tree import models_below
from flows.config.read import References
from flows.config.schema import lists_of_one, takes_one
from flows.config.settings import Globals, Input, json_schema
from sinks.settings import ConsoleConfig, DevoConfig, DevoHttpConfig, FileConfig, SyslogConfig
from sources.aws.credentials import Credentials
from transforms.setting import spellings

SCHEMA = json_schema()
OUTPUTS = (DevoConfig, SyslogConfig, DevoHttpConfig, ConsoleConfig, FileConfig)
MODELS = sorted(
    models_below([Globals, Input, *OUTPUTS, *SETTINGS.values(), *(one.settings for one in ANY_NAME)]),
    key=lambda model: model.__name__,
)
ENV = {"X": "5", "T": "text", "DEVO_TOKEN": "t", "AWS_KEY": "k", "AWS_SECRET": "s"}
QUEUE = "https://sqs.us-west-1.amazonaws.com/123456789012/q"


def plain(value: Any) -> Any:
    """Return a value as a configuration file has it."""
    return json.loads(json.dumps(value, default=str))


def needed(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys that a model cannot be without, with their examples."""
    fields = model.model_fields.items()
    found = {spellings(name, one)[0]: plain(one.examples[0]) for name, one in fields if one.is_required()}
    return found | ({"type": "csv"} if model.__name__ == "FileFormat" else {})


def variants(model: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (what it shows, raw settings) for every key of a model in every form, right and wrong."""
    for name, field in model.model_fields.items():
        first, *others = spellings(name, field)
        if (model, name) == (Input, "services"):
            continue  # services are told by their names, see below
        base = {key: value for key, value in needed(model).items() if key != first}
        example = plain(field.examples[0]) if field.examples else None
        forms: list[Any] = [example, None, "", True, "yes", 7, 7.5, "7", "${X}", "${T}", [], [example], {}]
        forms += [[["x"]], {"no": "thing"}, -1, "true", ["a", 1]]
        if isinstance(example, list) and example:
            forms.append(example[0])
        for form in forms:
            yield f"{first}={form!r}", {**base, first: form}
        for other in others:
            yield f"{other}={example!r}", {**base, other: example}
            yield f"{first} and {other}", {**base, first: example, other: example}
    yield "unknown key", {**needed(model), "no_such_key": 1}
    for key in needed(model):
        yield f"without {key}", {one: value for one, value in needed(model).items() if one != key}


def taken(model: type[BaseModel], raw: dict[str, Any]) -> bool:
    """Tell whether the loader takes the shape of settings; what keys mean together is not asked."""
    made = References(ENV, "file", Path()).resolve(raw, ("x",))
    if issubclass(model, ServiceSettings):
        made = {key: value for key, value in first_spelling(model, made).items() if value != ""}
    try:
        model.model_validate(made)
    except ValidationError as error:
        return all(
            one["type"] == "value_error" and (not one["loc"] or isinstance(one["input"], str))
            for one in error.errors()
        )
    return True


def allowed(model: type[BaseModel], raw: dict[str, Any]) -> bool:
    """Tell whether the schema takes settings."""
    whole = {"$ref": f"#/$defs/{model.__name__}", "$defs": SCHEMA["$defs"]}
    return jsonschema.Draft202012Validator(whole).is_valid(raw)


def beyond(model: type[BaseModel], raw: dict[str, Any], key: str) -> bool:
    """Tell whether only the loader can know: a bound of a number in text, what a reference becomes."""
    value = raw.get(key)
    if key == "do_not_send":
        return True
    return isinstance(value, str) and ("${" in value or value.strip("-").isdigit())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schema_and_loader_agree_on_every_form_of_every_key(model):
    """Each key in each spelling, as its example, alone, as a text, a number, a reference, a list, nothing."""
    wrong = []
    for what, raw in variants(model):
        key = what.partition("=")[0]
        if taken(model, raw) != allowed(model, raw) and not beyond(model, raw, key):
            wrong.append((what, "loader" if taken(model, raw) else "schema"))
    assert not wrong


def keys_of(model: type[BaseModel], names: Any = None) -> st.SearchStrategy[dict[str, Any]]:
    """Make settings of a model: keys in any spelling, several of one key too, in forms that it takes."""

    def forms(field: Any) -> list[Any]:
        example = plain(field.examples[0])
        return (
            [example, example[0]] if takes_one(field) and isinstance(example, list) and example else [example]
        )

    spelt = {
        key: st.sampled_from(forms(field))
        for name, field in model.model_fields.items()
        for key in spellings(name, field)
        if names is None or name in names
    }
    return st.fixed_dictionaries({}, optional=spelt)


def configurations() -> st.SearchStrategy[dict[str, Any]]:
    """Make configurations: globals, inputs of both collectors, credentials, services."""
    queued = keys_of(SETTINGS["aws_sqs_waf"], ALONE)
    polled = keys_of(SETTINGS["aws-guardduty"], ALONE)
    services = st.fixed_dictionaries({}, optional={"aws_sqs_waf": queued, "aws-guardduty": polled})
    roles = keys_of(Credentials, {"base_assume_role", "target_assume_role"})
    of_input = keys_of(Input, Input.model_fields.keys() - {"id", *OF_ITSELF})
    around = {"id": "1", "region": "us-west-1", "base_url": QUEUE}
    one = st.builds(
        lambda of, who, what: {**of, **around, "credentials": who, "services": what},
        of_input,
        roles,
        services,
    )
    top = keys_of(Globals)
    return st.builds(
        lambda first, second, given: {"globals": first, "global_overrides": second, "inputs": {"in": given}},
        *(top, top, one),
    )


ALONE = {
    "enabled", "regions", "tag", "devo_pulling_id", "visibility_timeout_seconds", "max_event_bytes",
    "unreadable", "object_gone", "s3_file_type_filter", "event_type_file_regex_patterns",
    "auto_event_type", "format", "requests_limits", "requests_per_second", "start_time", "max_reach_seconds",
    "recheck", "tag_suffix", "prove", "requester_pays",
}  # fmt: skip
"""Keys that mean something by themselves."""

OF_ITSELF = {"region", "base_url", "credentials", "queue_credentials", "services"}


@given(configurations())
def test_check_and_schema_have_one_verdict(tmp_path_factory, content):
    """A configuration made of documented keys, in any spelling, is right for both or wrong for both."""
    path = tmp_path_factory.mktemp("c") / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    try:
        load(path, {"AWS_REGION": "eu-west-1"} | ENV)
        verdict = True
    except SettingsError:
        verdict = False
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(content) == verdict


def test_a_text_that_is_taken_as_a_list_is_said(tmp_path):
    """What is meant as a list of one is taken, and the warning names it; `region` is one by its name."""
    path = tmp_path / "config.yaml"
    services = {
        "aws_sqs_waf": {"regions": "eu-west-1"},
        "aws_sqs_vpc": {"region": "eu-west-1", "base_url": QUEUE},
    }
    path.write_text(
        yaml.safe_dump({"inputs": {"in": {"id": "1", "base_url": QUEUE[:-1] + "r", "services": services}}})
    )
    loaded = load(path, {})
    said = [line for line in loaded.warnings if "list of one" in line]
    assert said == ["inputs.in.services.aws_sqs_waf.regions: is taken as a list of one: [eu-west-1]"]
    assert loaded.inputs["in"].services["aws_sqs_vpc"].queues("aws_sqs_vpc") == [("us-west-1", QUEUE)]


def lists(annotation: Any) -> bool:
    """Tell whether values are lists, but not lists of lists, whose brackets mean something."""
    inner = get_args(annotation)
    if get_origin(annotation) in (tuple, list):
        return not any(get_origin(one) in (tuple, list) for one in inner)
    return get_origin(annotation) is not dict and any(map(lists, inner))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_one_value_stands_for_a_list_of_one_wherever_a_list_is_meant(model):
    """Every list key of every model takes a text, or a mapping, alone."""
    assert not [
        name for name, one in model.model_fields.items() if lists(one.annotation) and not takes_one(one)
    ]


def test_what_is_taken_as_a_list_is_said_at_any_depth():
    """Below globals, services and formats, with its place; what is documented for one value is not."""
    service = {
        "region": "us-west-1",
        "buckets": "my-trail",
        "requests_limits": {"period": "1d", "number_of_requests": 5},
        "file_format": {"type": "csv", "config": {"key": "a", "field_names": "time"}},
        "record_field_mapping": {"kind": {"keys": "file"}},
    }
    told = dict(lists_of_one(SETTINGS["aws_sqs_waf"], service, "s"))
    assert told == {
        "s.buckets": "my-trail",
        "s.requests_limits": service["requests_limits"],
        "s.file_format.config.field_names": "time",
        "s.record_field_mapping.kind.keys": "file",
    }
