"""The JSON Schema of settings models, as wide as the loader is: all spellings, references, text for a number.

Pydantic tells what a model makes of right values; the loader takes more (see `read.py` and `types.py`): other
spellings of a key, `${NAME}` and `{file: PATH}` for any value, a key without a value, numbers and yes or no
as text (that is what a reference becomes), numbers where text is meant, one text where a list is meant. What
keys mean together, and what stands behind a pattern, no schema tells: `check` does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeAlias

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue

from flows.config.model_tree import is_map, model_in
from flows.config.types import one_or_many, one_or_several
from transforms.setting import spellings

Schema: TypeAlias = JsonSchemaValue
"""A JSON Schema, or a part of one, as JSON."""

REFERENCE: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"},
        {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}
"""What stands for a value: `${NAME}` in it, or a file that holds it."""

_WORDS = ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0")
_YES_OR_NO = "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in word) for word in _WORDS)
_AS_TEXT: Mapping[str, Schema] = {
    "integer": {"type": "string", "pattern": r"^\s*[+-]?\d+(\.0+)?\s*$"},
    "number": {"type": "string", "pattern": r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"},
    "boolean": {"anyOf": [{"enum": [0, 1]}, {"type": "string", "pattern": f"^({_YES_OR_NO})$"}]},
}
_TAKES_ONE = (one_or_many, one_or_several)
_BESIDE = frozenset({"title", "description", "default", "examples"})
"""What a property says of itself beside its value."""
_IN_PARTS = ("anyOf", "oneOf", "allOf")


def widen(definitions: dict[str, Schema], models: Iterable[type[BaseModel]], blank: type[BaseModel]) -> None:
    """Let each model's definition accept what the loader does. blank: models of which "" is no value."""
    for model in models:
        definition = definitions.get(model.__name__)
        if definition and "properties" in definition:
            _widen(definition, model, may_be_blank=issubclass(model, blank))
    definitions["Reference"] = REFERENCE


def takes_one(field: FieldInfo) -> bool:
    """Tell whether a text may stand for a list of one."""
    return any(isinstance(one, BeforeValidator) and one.func in _TAKES_ONE for one in field.metadata)


def lists_of_one(
    model: type[BaseModel], given: Mapping[str, Any], place: str
) -> Iterator[tuple[str, object]]:
    """Yield where something stands that is taken as a list of one, and what.

    Keys, or spellings of them, that are documented for one value are not told.
    """
    for name, field in model.model_fields.items():
        first, *others = spellings(name, field)
        key = next((one for one in (first, *others) if given.get(one)), first)
        value, documented = given.get(key), not isinstance((field.examples or [None])[0], list)
        if isinstance(value, str | dict) and value and takes_one(field) and not (documented or key in others):
            yield f"{place}.{key}", value
        inner = model_in(field.annotation)
        if inner and isinstance(value, dict):
            parts = value.items() if is_map(field.annotation) else [("", value)]
            for part, one in parts:
                if isinstance(one, dict):
                    yield from lists_of_one(inner, one, f"{place}.{key}{'.' * bool(part)}{part}")


def _widen(definition: Schema, model: type[BaseModel], *, may_be_blank: bool) -> None:
    properties: dict[str, Schema] = definition["properties"]
    required = set(definition.pop("required", ()))
    rules: list[Schema] = []
    coerce = bool(model.model_config.get("coerce_numbers_to_str"))
    for name, field in model.model_fields.items():
        first, *others = spellings(name, field)
        if first not in properties:
            continue
        optional: list[Schema] = [] if first in required else [{"type": "null"}]
        if may_be_blank and first not in required:
            optional.append({"const": ""})
        properties[first] = _property(properties[first], field, optional, coerce=coerce)
        properties |= dict.fromkeys(others, properties[first])
        rules += [{"not": {"required": list(pair)}} for pair in combinations([first, *others], 2)]
        if first in required:
            rules.append({"anyOf": [{"required": [key]} for key in (first, *others)]})
    if rules:
        definition["allOf"] = rules


def _property(found: Schema, field: FieldInfo, optional: Sequence[Schema], *, coerce: bool) -> Schema:
    told = {key: value for key, value in found.items() if key in _BESIDE}
    value = {key: inner for key, inner in found.items() if key not in _BESIDE}
    forms = [_loose(value, coerce=coerce)]
    if takes_one(field):
        forms += _elements(value)  # a text: a number alone is no list
    return {**told, "anyOf": [*forms, {"$ref": "#/$defs/Reference"}, *optional]}


def _elements(value: Schema) -> list[Schema]:
    """Return what may stand in a list, of a value that may be one."""
    parts = [part for key in _IN_PARTS for part in value.get(key, ())]
    return [one["items"] for one in (value, *parts) if one.get("type") == "array" and "items" in one]


def _loose(value: Schema, *, coerce: bool) -> Schema:
    """Return a value's schema, and of all values in it, with their other forms."""
    made = dict(value)
    for key in _IN_PARTS:
        if key in made:
            made[key] = [_loose(part, coerce=coerce) for part in made[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _loose(made[key], coerce=coerce)
    kind = made.get("type")
    if "enum" in made or "const" in made or not isinstance(kind, str):
        return made
    if kind in _AS_TEXT:
        yes_or_no = [] if kind == "boolean" else _as_number(made)
        return {"anyOf": [made, _AS_TEXT[kind], *yes_or_no]}
    if kind == "string" and coerce and "format" not in made:
        return {"anyOf": [made, *_numbers(made)]}
    return made


def _as_number(bounds: Schema) -> list[Schema]:
    """Return 1 or 0 for yes or no where a number is meant, if the bounds allow it."""
    least, most = bounds.get("minimum", 0), bounds.get("maximum", 1)
    above = bounds.get("exclusiveMinimum", -1)
    fits = [flag for flag in (False, True) if least <= flag <= most and flag > above]
    return [{"type": "boolean", "enum": fits}] if fits else []


def _numbers(text: Schema) -> list[Schema]:
    """Return which numbers may stand for a text."""
    pattern, longest = text.get("pattern", ""), text.get("maxLength", 9)
    if longest == 1:
        return [{"type": "integer", "minimum": 0, "maximum": 9}]
    if not all(re.search(pattern, shown) for shown in ("7", "-1")):
        return []
    return [{"type": "number" if re.search(pattern, "7.5") else "integer"}]
