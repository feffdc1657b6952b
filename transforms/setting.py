"""What a key of the configuration says of itself beside its type: metadata of its field."""

from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_WITHOUT_EFFECT = "Accepted because Devo's collector has it; no effect here"


class About(Struct, frozen=True):
    """A field's metadata.

    unit: of its value, "" = none. ours: Devo's collector does not have the key. effect: False = it changes
    nothing, `why` tells the reason. Pydantic calls it to complete the field's JSON Schema.
    """

    unit: str = ""
    ours: bool = False
    effect: bool = True
    why: str = ""

    def __call__(self, schema: JsonDict) -> None:
        """Let editors show the unit behind the description."""
        if self.unit:
            schema["description"] = _with_unit(str(schema.get("description", "")), self.unit)


_PLAIN = About()


class SettingsModel(BaseModel):
    """A part of the configuration: unknown keys are errors, the text below a key is its description."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Make one line of each description."""
        for field in cls.model_fields.values():
            field.description = field.description.replace("\n", " ") if field.description else None


def setting(
    default: Any = PydanticUndefined, *, example: Any = None, unit: str = "", ours: bool = False, **more: Any
) -> Any:
    """Declare a key of the configuration. unit, ours: see `About`. more: what `pydantic.Field` takes."""
    shown = None if example is None else [example]
    return Field(default, examples=shown, json_schema_extra=About(unit=unit, ours=ours), **more)


def about(field: FieldInfo) -> About:
    """Return a field's metadata."""
    found = field.json_schema_extra
    return found if isinstance(found, About) else _PLAIN


def described(field: FieldInfo) -> str:
    """Return what a field means, with its unit, without a full stop."""
    return _with_unit((field.description or "").removesuffix("."), about(field).unit)


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
