"""What is wrong with a configuration: pydantic's errors in this project's words, `what: where: hint`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError

from flows.config.model_tree import by_type, fields_of, models_in, names_of
from transforms.errors import CollectorError
from transforms.setting import described, description

_SECRET = re.compile(r"secret|token|password|external|access_key", re.IGNORECASE)
_SHORTEST_SECRET = 4
_LONGEST_VALUE = 80
_MANY = 12
_SEVERAL = 2
_WORD = re.compile(r"[\w./:@*-]+")
_LISTS = re.compile(r"[\s,;]+")
NO_MAPPING = "write key: value below it, indented, without a hyphen before the key"
_QUOTED = 'write it in quotes, "…": without them it is a number, which has no zeros before it'
_PLAIN = {
    "too_short": "it is empty",
    "string_type": "it should be one text",
    "tuple_type": "it should be a list",
    "dict_type": "it should be a mapping",
    "model_type": "it should be a mapping",
}
"""What pydantic says of lists, in the words of a configuration."""


class SettingsError(CollectorError):
    """The configuration, or the way a command was used, is wrong."""

    family = "setup"


class SettingsErrors(SettingsError):
    """Several of them; as text one line each."""

    def __init__(self, errors: Sequence[SettingsError]) -> None:
        super().__init__(f"{len(errors)} errors", errors[0].where, errors[0].hint)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def raise_any(errors: Sequence[SettingsError]) -> None:
    """Raise what was found, if anything was."""
    if errors:
        raise errors[0] if len(errors) == 1 else SettingsErrors(errors)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that leads from a wrong name to the known ones."""
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names[:_MANY])}{' …' if len(names) > _MANY else ''}"


def is_secret(key: str) -> bool:
    """Tell whether values under a key are never shown."""
    return bool(_SECRET.search(key))


def told(
    error: ValidationError, model: object, raw: Mapping[str, object], where: str, secrets: Iterable[str] = ()
) -> list[SettingsError]:
    """Translate each error of a model (or union of models) that was given `raw`.

    where: file and path of `raw`, e.g. `config.yaml: inputs.aws`. secrets: texts that are never shown.
    """
    found = [dict(one) for one in error.errors(include_url=False)]
    found = [one for one in found if not _follows(one, found)]
    found.sort(key=lambda one: one["type"] != "extra_forbidden")  # a misspelt key explains a missing one
    return [_told(one, model, raw, where, secrets) for one in found]


def _follows(error: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a list is too short only because an element is wrong, which has its own error."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        other["loc"][: len(loc)] == loc for other in others if other is not error
    )


def _told(
    error: dict[str, Any], model: object, raw: Mapping[str, object], where: str, secrets: Iterable[str]
) -> SettingsError:
    path = _path_in(raw, error["loc"])
    kind, parent = error["type"], path[:-1]
    name = _name(path, where)
    fields = _fields(model, raw, parent)
    if kind == "extra_forbidden":
        what, hint = f"unknown key {name}", nearest(name, fields)
    elif kind == "missing":
        what, hint = f"{name} is missing", _about(fields.get(name))
        path = parent
    elif kind.startswith("union_tag"):
        given = str(error["ctx"].get("tag", ""))
        what = f"unknown type {given}" if given else "type is missing"
        hint = nearest(given, by_type(model))
    elif kind == "value_error":
        text, _, hint = str(error["ctx"]["error"]).partition(": ")
        shown = _shown(name, _value(raw, path), secrets) if path else ""
        what, hint = f"{name} {shown}{text}", hint or _about(fields.get(name))
    else:
        what = f"{name} {_shown(name, _value(raw, path), secrets)}is not accepted{_plain(error)}"
        hint = _choice(error, _value(raw, path), fields.get(name)) or _about(fields.get(name))
    if kind in {"dict_type", "model_type"}:
        hint = NO_MAPPING
    elif kind in {"string_type", "tuple_type"} and type(_value(raw, path)) in {int, float}:
        hint = _QUOTED
    elif path and name in fields and (several := as_list(_value(raw, path), fields[name])):
        hint = f"write a list: {several}"
    full = ".".join((where, *path)) if path else where
    return SettingsError(hide(what, secrets), hide(full, secrets), hide(hint, secrets))


def as_list(value: object, field: Any = None) -> str:
    """Return a text of several parts as the list that it was meant as, "" when it is none.

    field: what is declared of the key, None = a list for certain.
    """
    if not isinstance(value, str) or (field and "tuple[" not in str(field.annotation)):
        return ""
    parts = [part.strip("'\"") for part in _LISTS.split(value.strip("[] ")) if part]
    is_several = len(parts) > 1 or value.startswith("[")
    return f"[{', '.join(parts)}]" if parts and is_several and all(map(_WORD.fullmatch, parts)) else ""


def _name(path: Sequence[str], where: str) -> str:
    """Return the key that an error is about: of a list's element the list's, with the element's number."""
    if not path:
        return where.rpartition(".")[2].rpartition(" ")[2]
    return ".".join(path[-2:]) if path[-1].isdigit() else path[-1]


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return one line of text without secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return " ".join(text.split())


def _path_in(raw: object, loc: Sequence[Any]) -> list[str]:
    """Return the parts of pydantic's location that a reader finds in the file, and a missing key."""
    path: list[str] = []
    for position, part in enumerate(loc):
        if isinstance(raw, Mapping) and part in raw:
            raw = raw[part]
        elif isinstance(raw, list) and isinstance(part, int):
            raw = raw[part] if part < len(raw) else None
        elif position < len(loc) - 1 or not isinstance(raw, Mapping):
            continue
        path.append(str(part))
    return path


def _value(raw: Any, path: Sequence[str]) -> object:
    for part in path:
        raw = raw[int(part)] if isinstance(raw, list) else raw.get(part)
    return raw


def _shown(name: str, value: object, secrets: Iterable[str]) -> str:
    """Return a value for a message, with a blank; nothing for secrets and for what has parts."""
    if (
        is_secret(name)
        or isinstance(value, Mapping | list)
        or any(secret in str(value) for secret in secrets)
    ):
        return ""
    text = repr(value)
    return f"{text[:_LONGEST_VALUE]}{'…' if len(text) > _LONGEST_VALUE else ''} "


def _plain(error: Mapping[str, Any]) -> str:
    """Return, with a blank, why a value is not accepted; "" where the hint tells all values that are."""
    if error["type"] == "literal_error":
        return ""
    plain = _PLAIN.get(error["type"]) or str(error["msg"])
    return f" ({plain.replace('Input should be', 'it should be').replace('String should', 'it should')})"


def _choice(error: Mapping[str, Any], value: object, field: Any) -> str:
    """Return the values that a key, or a list's element, may have; "" where that is anything."""
    if error["type"] == "literal_error":
        known = re.findall(r"'([^']+)'", error["ctx"]["expected"])
    else:
        known = _literals(field.annotation) if field and error["type"] in _PLAIN else []
    if len(known) < _SEVERAL:
        return f"write {known[0]}" if known else ""
    told = f"known are {', '.join(sorted(known))}"
    near = nearest(value, known) if isinstance(value, str) else told
    return near if near == told else f"{near} {told}"


def _literals(annotation: object) -> list[str]:
    """Return the texts that stand in an annotation."""
    if isinstance(annotation, str):
        return [annotation]
    return [text for argument in get_args(annotation) for text in _literals(argument)]


def _about(field: Any) -> str:
    """Return what a key means, with an example, for a hint."""
    if field is None or not description(field):
        return "see the configuration reference"
    example = f", e.g. {field.examples[0]}" if field.examples else ""
    return f"{described(field)}{example}"


def _fields(model: object, raw: object, path: Sequence[str]) -> dict[str, object]:
    """Return the known keys, and what is declared of them, of the model at a path below `model`."""
    typed = by_type(model).get(str(raw.get("type"))) if isinstance(raw, Mapping) else None
    models = [typed] if typed else models_in(model)
    for part in path:
        declared = [fields_of(one)[part].annotation for one in models if part in names_of(one)]
        models = [found for annotation in declared for found in models_in(annotation)] if declared else models
    return {name: field for one in models for name, field in fields_of(one).items()}
