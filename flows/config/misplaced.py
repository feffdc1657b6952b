"""Keys that stand where nobody reads them, because they are indented too little, or too far.

YAML gives a key to whatever stands above it with less indentation. A key that its own level does not know and
another one does is told with where it belongs, and is read there: what else is wrong is told beside it, and
nothing that only follows.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from flows.catalogue.services import SETTINGS, settings_of
from flows.config.errors import SettingsError
from flows.config.model_tree import by_type, fields_of, is_map, model_in, names_of
from flows.config.settings import Globals, Input
from sinks.settings import OutputSettings
from sources.aws.credentials import Credentials

Path: TypeAlias = tuple[str, ...]
Move: TypeAlias = tuple[Path, Path]
"""Where a key stands, and the mapping that it belongs to."""

_TOP = frozenset({"globals", "global_overrides", "inputs", "outputs"})
_OUTPUT = frozenset({"type", "config", "name"})


def put_right(content: dict[str, Any], file: str) -> list[SettingsError]:
    """Put each misplaced key of a configuration where it belongs, and return what is to be told of them."""
    errors = []
    for level in _LEVELS:
        for place, home in list(level(content)):
            errors.append(_error(place, home, file))
            _move(content, place, home)
    return errors


def _error(place: Path, home: Path, file: str) -> SettingsError:
    where = f"{file}: {'.'.join(map(str, place))}"
    if not home:
        return SettingsError(f"{place[-1]} belongs beside inputs", where, "write it without indentation")
    what = f"{place[-1]} belongs under {home[-1]}"
    line = ".".join(map(str, home))
    if len(home) < len(place) - 1:
        return SettingsError(what, where, f"indent it less, as the other keys of {line} are")
    return SettingsError(what, where, f"indent it deeper than the line of {line}, and below it")


def _move(content: dict[str, Any], place: Path, home: Path) -> None:
    """Move a key. One whose home has it already is only taken away; one of a YAML alias is moved once."""
    around = _at(content, place[:-1])
    if place[-1] not in around:
        return
    value = around.pop(place[-1])
    target = content
    for part in home:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target.setdefault(place[-1], value)


def _at(content: Any, path: Path) -> dict[str, Any]:
    """Return the mapping at a path, an empty one when there is none."""
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _after_its_neighbour(content: Any, path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield each key of a mapping with its value and the key before it that belongs there, "" = none."""
    before = ""
    for key, value in _at(content, path).items():
        yield key, value, before
        if key not in names_of(Input).keys() | _OUTPUT | _TOP:
            before = key


def _top(content: Any) -> Iterator[Move]:
    inputs = list(_at(content, ("inputs",)))
    alone: Path = ("inputs", inputs[0]) if len(inputs) == 1 else ()
    for key, value in content.items():
        if key in _TOP:
            continue
        if isinstance(value, dict) and "services" in value:
            yield (key,), ("inputs",)
        elif isinstance(value, dict) and str(value.get("type")) in by_type(OutputSettings):
            yield (key,), ("outputs",)
        elif alone and key in names_of(Input).keys() - names_of(Globals).keys():
            yield (key,), alone
        elif alone and key in SETTINGS:
            yield (key,), (*alone, "services")
        elif key in names_of(Globals):
            yield (key,), ("globals",)


def _globals(content: Any) -> Iterator[Move]:
    for name in ("globals", "global_overrides"):
        yield from (((name, key), ()) for key in _at(content, (name,)) if key in _TOP)


def _inputs(content: Any) -> Iterator[Move]:
    """Yield an input's own keys at the level of inputs: indented too little."""
    for key, value, before in _after_its_neighbour(content, ("inputs",)):
        if isinstance(value, dict) and "services" in value:
            continue
        if key in _TOP:
            yield ("inputs", key), ()
        elif before and key in names_of(Input):
            yield ("inputs", key), ("inputs", before)
        elif before and key in SETTINGS:
            yield ("inputs", key), ("inputs", before, "services")


def _input(content: Any) -> Iterator[Move]:
    """Yield what an input does not know: a service, a key of its identity."""
    for name in _at(content, ("inputs",)):
        place = ("inputs", name)
        for key, value in _at(content, place).items():
            given = value if isinstance(value, dict) else {}
            if key in names_of(Input):
                continue
            if key in _TOP:
                yield (*place, key), ()
            elif key in SETTINGS or settings_of(key, given):
                yield (*place, key), (*place, "services")
            elif key in names_of(Credentials):
                yield (*place, key), (*place, "credentials")


def _services(content: Any) -> Iterator[Move]:
    """Yield a service's own keys at the level of services: indented too little."""
    for name in _at(content, ("inputs",)):
        place = ("inputs", name, "services")
        for key, value, before in _after_its_neighbour(content, place):
            given = value if isinstance(value, dict) else {}
            if key in SETTINGS or settings_of(key, given):
                continue
            model = settings_of(before, _at(content, (*place, before)) or {key: value})
            if model and key in names_of(model):
                yield (*place, key), (*place, before)
            elif key in names_of(Input):
                yield (*place, key), ("inputs", name)


def _outputs(content: Any) -> Iterator[Move]:
    """Yield an output's own keys at the level of outputs, and keys of its `config` beside that."""
    for key, value, before in _after_its_neighbour(content, ("outputs",)):
        if before and key in _OUTPUT and not (isinstance(value, dict) and "type" in value):
            yield ("outputs", key), ("outputs", before)


def _output(content: Any) -> Iterator[Move]:
    for name in _at(content, ("outputs",)):
        place = ("outputs", name)
        known = _config_keys() - _OUTPUT
        yield from (((*place, key), (*place, "config")) for key in _at(content, place) if key in known)


def _nested(content: Any) -> Iterator[Move]:
    """Yield keys of what stands right before them, or of what they stand in, at every depth."""
    yield from _below(content, ("globals",), Globals)
    for name in _at(content, ("inputs",)):
        place = ("inputs", name)
        yield from _below(content, place, Input)
        for key, value in _at(content, (*place, "services")).items():
            model = settings_of(key, value if isinstance(value, dict) else {})
            if model:
                yield from _below(content, (*place, "services", key), model, place, Input)


def _below(
    content: Any,
    path: Path,
    model: type[BaseModel],
    around: Path = (),
    outer: type[BaseModel] | None = None,
) -> Iterator[Move]:
    """Yield the misplaced keys of a mapping and of those in it. outer: the model of the one at `around`."""
    fields, before = fields_of(model), ""
    for key, value in _at(content, path).items():
        field = fields.get(key)
        if field:
            before, inner = key, model_in(field.annotation)
            if inner and isinstance(value, dict) and not is_map(field.annotation):
                yield from _below(content, (*path, key), inner, path, model)
            continue
        neighbour = model_in(fields[before].annotation) if before else None
        if neighbour and not is_map(fields[before].annotation) and key in names_of(neighbour):
            yield (*path, key), (*path, before)
        elif outer and key in names_of(outer):
            yield (*path, key), around


_LEVELS: tuple[Callable[[Any], Iterator[Move]], ...] = (
    *(_top, _globals, _inputs, _input, _services, _nested, _outputs, _output),
)


@cache
def _config_keys() -> frozenset[str]:
    configs = [model_in(one.model_fields["config"].annotation) for one in by_type(OutputSettings).values()]
    return frozenset(key for one in configs if one for key in names_of(one))
