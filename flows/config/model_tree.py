"""Settings models looked through: their keys in all spellings, and the models in their values."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from transforms.setting import spellings


@cache
def names_of(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the keys of a model in all their spellings → the name of the field."""
    return {key: name for name, one in model.model_fields.items() for key in spellings(name, one)}


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the keys of a model in all their spellings → the field."""
    return {key: model.model_fields[name] for key, name in names_of(model).items()}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models of a field's values, in lists and mappings too, and of a union each."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first of them, None when there is none."""
    return next(iter(models_in(annotation)), None)


def models_below(roots: Iterable[Any]) -> set[type[BaseModel]]:
    """Return models and all that stand in their fields."""
    found: set[type[BaseModel]] = set()
    waiting = [model for root in roots for model in models_in(root)]
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += [model for field in one.model_fields.values() for model in models_in(field.annotation)]
    return found


def by_type(union: Any) -> dict[str, type[BaseModel]]:
    """Return the models of a union by what their `type` may be."""
    return {
        kind: model
        for model in models_in(union)
        if "type" in model.model_fields
        for kind in get_args(model.model_fields["type"].annotation)
    }


def is_map(annotation: Any) -> bool:
    """Tell whether a field is a mapping under names of the user's own."""
    return get_origin(annotation) is dict or any(is_map(one) for one in get_args(annotation))
