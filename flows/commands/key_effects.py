"""What becomes of each key of a configuration of Devo's collectors: the same, something else, or nothing.

The models tell which keys have no effect here, and why; `_DIFFERENT` what else a user should know.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from flows.catalogue.services import settings_of
from flows.config.model_tree import by_type, is_map, model_in, names_of
from flows.config.settings import Globals, Input, PersistenceConfig
from sinks.settings import OutputSettings
from transforms.setting import about


class Effect(StrEnum):
    """What becomes of a key."""

    SAME = "the same"
    DIFFERENT = "different"
    UNNEEDED = "not needed any more"


class KeyEffect(Struct, frozen=True):
    """path: of a key, through the whole file; [] = in a list. note: how it differs, why it is not needed."""

    path: str
    effect: Effect
    note: str = ""


_RECEIPTED = "a message is deleted when the receiver has confirmed its events, not when it was read"
_PATTERNS = "patterns are RE2's: no back-references, look-around only as (?!…) at the beginning"
_LEASE = "each message's time is extended while it is worked on"
_BEGINS = "queues go on; the positions of APIs are not Devo's: without a start_time they begin now"

_DIFFERENT: Mapping[tuple[str, str], str] = {
    ("Globals", "debug"): "one event a line, by name, with its figures",
    ("Persistence", "type"): "memory keeps no state, filesystem and redis a folder; " + _BEGINS,
    ("Input", "id"): "another id begins anew; " + _BEGINS,
    ("Input", "base_url"): _RECEIPTED,
    ("Input", "sqs_visibility_timeout"): _LEASE,
    (
        "Credentials",
        "base_assume_role",
    ): "Devo's own role (of account 837131528613) can only Devo assume: leave "
    "it out, and let your role trust this collector's identity; any other works as before",
    ("*", "queue_url"): _RECEIPTED,
    ("*", "visibility_timeout_seconds"): _LEASE,
    ("*", "s3_file_type_filter"): _PATTERNS,
    ("*", "event_type_file_regex_patterns"): _PATTERNS,
    ("*", "filename_filter_rules"): f"what is left out is counted; {_PATTERNS}",
    ("*", "line_filter_rules"): f"what is left out is counted; {_PATTERNS}",
    ("*", "drop_event_names"): "what is left out is counted",
    ("*", "auto_event_type"): "a type that has no table in Devo goes to the service's common one",
    ("*", "start_time"): "positions of Devo's collector are not read: what it has sent since comes twice",
    ("DevoConfig", "address"): "the server's name is verified; verify_server_name: false does not",
    ("SyslogConfig", "address"): "sent again until it is receipted; see receiver_max_event_bytes",
    ("Globals", "queue_max_size_in_mb"): "bounds each service, and each output, by itself",
}
"""(model, field) → what a user of Devo's collectors should know of it. * = of any service."""

_OUTPUTS: Mapping[str, Any] = {
    name: one.model_fields["config"].annotation for name, one in by_type(OutputSettings).items()
}


def key_effects(raw: Mapping[str, Any]) -> list[KeyEffect]:
    """Return what becomes of each key of a configuration as it was read; each path once."""
    found = [*_top(raw, "globals", Globals), *_top(raw, "global_overrides", Globals)]
    for name, one in mapping(raw.get("inputs")).items():
        found += _input(one, f"inputs.{name}")
    for name, one in mapping(raw.get("outputs")).items():
        found += _output(one, f"outputs.{name}")
    known = {"globals", "global_overrides", "inputs", "outputs"}
    held = KeyEffect("", Effect.UNNEEDED, "what it holds stands wherever an alias names it")
    for key in raw.keys() - known:
        found += _all(raw[key], key, held if key.startswith("x-") else KeyEffect("", Effect.SAME))
    found += [KeyEffect(key, Effect.SAME) for key in known & raw.keys() if not raw[key]]
    return list({one.path: one for one in found}.values())


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a value that may be no mapping as one."""
    return value if isinstance(value, Mapping) else {}


def _top(raw: Mapping[str, Any], key: str, model: type[BaseModel]) -> Iterator[KeyEffect]:
    return _keys(mapping(raw.get(key)), key, model)


def _input(raw: Any, path: str) -> Iterator[KeyEffect]:
    given = mapping(raw)
    yield from _keys({key: value for key, value in given.items() if key != "services"}, path, Input)
    for name, one in mapping(given.get("services")).items():
        model = settings_of(name, mapping(one))
        if one and model:
            yield from _keys(mapping(one), f"{path}.services.{name}", model)
        else:
            yield KeyEffect(f"{path}.services.{name}", Effect.SAME)


def _output(raw: Any, path: str) -> Iterator[KeyEffect]:
    given = mapping(raw)
    yield from (KeyEffect(f"{path}.{key}", Effect.SAME) for key in given if key != "config")
    model = _OUTPUTS.get(str(given.get("type")))
    if model:
        yield from _keys(mapping(given.get("config")), f"{path}.config", model)


def _keys(raw: Mapping[str, Any], path: str, model: type[BaseModel]) -> Iterator[KeyEffect]:
    """Yield the effect of every key of a mapping that a model reads, and of all below it."""
    for key, value in raw.items():
        name, place = names_of(model).get(str(key), ""), f"{path}.{key}"
        if not name:
            unread = model is PersistenceConfig
            effect, why = (Effect.UNNEEDED, "there is no such store here") if unread else (Effect.SAME, "")
            yield from _all(value, place, KeyEffect("", effect, why))
            continue
        told = about(model.model_fields[name])
        note = _DIFFERENT.get((model.__name__, name)) or _DIFFERENT.get(("*", name), "")
        note = note or (_RECEIPTED if name.endswith("queue_name") else "")
        inner = model_in(model.model_fields[name].annotation)
        if not told.effect:
            yield from _all(
                value, place, KeyEffect("", Effect.UNNEEDED, told.why or "nothing here depends on it")
            )
        elif inner and not note:
            yield from _below(value, place, inner, named=is_map(model.model_fields[name].annotation))
        else:
            yield from _all(value, place, KeyEffect("", Effect.DIFFERENT if note else Effect.SAME, note))


def _below(value: Any, path: str, model: type[BaseModel], *, named: bool) -> Iterator[KeyEffect]:
    """Yield the effects below a value of mappings of a model. named: under names of the user's own."""
    if isinstance(value, list) and value:
        for one in value:
            yield from _below(one, f"{path}[]", model, named=named)
    elif isinstance(value, Mapping) and value and named:
        for name, one in value.items():
            yield from _below(one, f"{path}.{name}", model, named=False)
    elif isinstance(value, Mapping) and value:
        yield from _keys(value, path, model)
    else:
        yield KeyEffect(path, Effect.SAME)


def _all(value: Any, path: str, like: KeyEffect) -> Iterator[KeyEffect]:
    """Yield one effect for a key and everything below it; its note is said once."""
    yield KeyEffect(path, like.effect, like.note)
    waiting = [(path, value)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, list):
            waiting += [(f"{place}[]", inner) for inner in one]
        elif isinstance(one, Mapping):
            below = [(f"{place}.{key}", inner) for key, inner in one.items()]
            yield from (KeyEffect(name, like.effect) for name, _ in below)
            waiting += below
