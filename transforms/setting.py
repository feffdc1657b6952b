"""What a key of the configuration says of itself beside its type: metadata of its field."""

import ast
from collections import ChainMap
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import cleandoc, getsource
from itertools import pairwise
from textwrap import dedent
from typing import Any

from msgspec import Struct
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticUndefined

_WITHOUT_EFFECT = "Accepted because Devo's collector has it; no effect here"


class About(Struct, frozen=True):
    """A field's metadata.

    unit: of its value, "" = none. ours: Devo's collector does not have the key. effect: False = it changes
    nothing, `why` tells the reason. queue_of: the type of data whose queue it names.
    """

    unit: str = ""
    ours: bool = False
    effect: bool = True
    why: str = ""
    queue_of: str = ""

    def __call__(self, schema: JsonDict) -> None:
        """Leave the schema as it is: pydantic keeps metadata that it could ask for more."""


_PLAIN = About()


class SettingsModel(BaseModel):
    """A part of the configuration: unknown keys are errors, the text below a key is its description.

    The texts are read from the source when somebody asks for them (`described`): pydantic would parse it at
    each start.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Let editors show what a key means, with its unit."""
        made = handler.resolve_ref_schema(handler(core_schema))
        properties = made.get("properties", {})
        for name, field in cls.model_fields.items():
            shown = properties.get(spellings(name, field)[0])
            if shown and description(field):
                shown["description"] = _with_unit(description(field), about(field).unit)
        return made


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from _subclasses(one)


@cache
def _texts(model: type) -> Mapping[str, str]:
    """Return the texts that stand below the keys of a class, bases apart, in one line each."""
    made = ast.parse(dedent(getsource(model))).body[0]
    found = pairwise(made.body) if isinstance(made, ast.ClassDef) else ()
    return {
        key.target.id: cleandoc(text.value.value).replace("\n", " ")
        for key, text in found
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


@cache
def _describe(model: type[BaseModel]) -> None:
    """Give the fields of a model their texts."""
    bases = [base for base in model.__mro__ if issubclass(base, SettingsModel) and base is not SettingsModel]
    texts = ChainMap(*map(dict, map(_texts, bases)))
    for name, field in model.model_fields.items():
        field.description = field.description or texts.get(name)


def spellings(name: str, field: FieldInfo) -> list[str]:
    """Return how a key may be written, its first spelling first."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [field.alias or name]


def description(field: FieldInfo) -> str:
    """Return the text below a key, "" = none."""
    for model in _subclasses(SettingsModel):
        _describe(model)
    return field.description or ""


def setting(
    default: Any = PydanticUndefined,
    *,
    example: Any = None,
    unit: str = "",
    ours: bool = False,
    queue_of: str = "",
    **more: Any,
) -> Any:
    """Declare a key of the configuration. unit, ours, queue_of: see `About`. more: what `Field` takes."""
    shown, metadata = None if example is None else [example], About(unit=unit, ours=ours, queue_of=queue_of)
    return Field(default, examples=shown, json_schema_extra=metadata, **more)


def about(field: FieldInfo) -> About:
    """Return a field's metadata."""
    found = field.json_schema_extra
    return found if isinstance(found, About) else _PLAIN


def described(field: FieldInfo) -> str:
    """Return what a field means, with its unit, without a full stop."""
    return _with_unit(description(field).removesuffix("."), about(field).unit)


def _with_unit(text: str, unit: str) -> str:
    return f"{text.removesuffix('.')}. Unit: {unit}" if unit else text


def without_effect(example: object, why: str = "", default: object = None) -> Any:
    """Declare a key of Devo's collector that changes nothing here."""
    told = f"{_WITHOUT_EFFECT}{f': {why}' if why else ''}"
    return Field(
        default, description=told, examples=[example], json_schema_extra=About(effect=False, why=why)
    )


def has_effect(model: type[BaseModel], name: str) -> bool:
    """Tell whether a key of a model changes anything."""
    return about(model.model_fields[name]).effect


def ineffective(model: BaseModel) -> dict[str, str]:
    """Return the keys of a model that were given and change nothing, with what to know about them."""
    fields = type(model).model_fields
    given = sorted(model.model_fields_set)
    return {name: about(fields[name]).why for name in given if not about(fields[name]).effect}
