"""`python -m flows migrate OLD`: what a configuration of Devo's collectors will do here, key by key.

Three lists: what is the same, what is different, what is not needed any more; every key is in one of them.
Then the configuration itself with our additions commented in. It starts unchanged: nothing of this is needed.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.catalogue.services import services_of, settings_of
from flows.commands.commented_yaml import Place, commented
from flows.commands.key_effects import Effect, KeyEffect, key_effects, mapping
from flows.config.base import ServiceSettings
from flows.config.errors import SettingsError, is_secret
from flows.config.load import load
from flows.config.read import read
from flows.config.settings import Globals
from transforms.setting import described, spellings

_OFFERED: Mapping[type[BaseModel], tuple[str, ...]] = {
    Globals: ("status", "quarantine", "persistence"),
    ServiceSettings: ("tag_suffix", "buckets", "recheck"),
}
"""Keys worth a word, of those that a model has and the configuration does not."""

_OUTPUTS = (
    "outputs:",
    "  devo:",
    "    type: devo_platform",
    "    config: {address: collector-eu.devo.io, chain: chain.crt, cert: mine.crt, key: mine.key}",
)
_LONGEST = 100


def migrate(old: Path, output: Path | None) -> int:
    """Print the three lists and the configuration; 2 when it does not load as it is.

    output: the configuration is written there, secrets included, instead of printed without them.
    """
    raw = read(old)
    warnings, failed = _loaded(old)
    _tell(key_effects(raw), warnings)
    if output:
        write_private(output, commented(_shown(raw), _additions(raw)))
        sys.stdout.write(f"written to {output}\n")
    else:
        hidden = _without_secrets(_shown(raw))
        sys.stdout.write(f"\nwith our additions, each behind a #:\n\n{commented(hidden, _additions(raw))}")
    if failed:
        raise failed
    return 0


def _loaded(old: Path) -> tuple[Sequence[str], SettingsError | None]:
    """Return what loading warns of, but for keys without effect, and what keeps it from loading."""
    try:
        return [one for one in load(old).warnings if "has no effect here" not in one], None
    except SettingsError as error:
        return (), error


def _tell(effects: Sequence[KeyEffect], warnings: Sequence[str]) -> None:
    """Print the three lists; warnings tell of differences."""
    for effect in Effect:
        lines = [
            f"{one.path}{f': {one.note}' if one.note else ''}" for one in effects if one.effect is effect
        ]
        lines += warnings if effect is Effect.DIFFERENT else ()
        sys.stdout.write(f"{effect}:{'' if lines else ' nothing'}\n")
        sys.stdout.writelines(f"  {line}\n" for line in lines)


def write_private(path: Path, text: str) -> None:
    """Write a file that may hold secrets, for its user alone. Raises SettingsError."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        hint = "name another file, in a folder that may be written"
        raise SettingsError(f"cannot be written ({error.strerror})", str(path), hint) from error
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)


def _shown(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration; services without settings become bare keys, so that comments may follow."""
    inputs = raw.get("inputs")
    if not isinstance(inputs, Mapping):
        return dict(raw)
    return {**raw, "inputs": {name: _bare(one) for name, one in inputs.items()}}


def _bare(one: Any) -> Any:
    if not isinstance(one, Mapping) or not isinstance(one.get("services"), Mapping):
        return one
    return {**one, "services": {name: service or None for name, service in one["services"].items()}}


def _without_secrets(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _without_secrets(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner, key) for inner in value]
    return "***" if isinstance(value, str) and value and is_secret(key) and "${" not in value else value


def _additions(raw: Mapping[str, Any]) -> dict[Place, list[str]]:
    """Return the comments of each section."""
    top = next((key for key in ("globals", "global_overrides") if isinstance(raw.get(key), Mapping)), "")
    offered = list(_offers(Globals, raw.get(top) or {}, _OFFERED[Globals]))
    found: dict[Place, list[str]] = {(top,) if top else (): offered if top else ["globals:", *_in(offered)]}
    if not raw.get("outputs"):
        found.setdefault((), []).extend(_OUTPUTS)
    for name, one in mapping(raw.get("inputs")).items():
        found[("inputs", name, "credentials")] = list(_secrets(mapping(one).get("credentials")))
        for key, given in mapping(mapping(one).get("services")).items():
            found[("inputs", name, "services", key)] = list(_of_service(key, mapping(given)))
    return {place: told for place, told in found.items() if told}


def _in(lines: list[str]) -> list[str]:
    return [f"  {one}" for one in lines]


def _of_service(key: str, given: Mapping[str, Any]) -> Iterator[str]:
    model = settings_of(key, given)
    if model is None:
        return
    kinds = given.get("types") or ()
    options = model.model_construct(types=(kinds,) if isinstance(kinds, str) else tuple(kinds))
    placed = any(service.placed for service in services_of(key, options)) or not kinds
    wanted = [name for name in _OFFERED[ServiceSettings] if name != "tag_suffix" or placed]
    yield from _offers(model, given, wanted)


def _offers(model: type[BaseModel], given: Mapping[str, Any], names: Any) -> Iterator[str]:
    """Yield a line for each key that a model has and a configuration does not give."""
    for name in names:
        field = model.model_fields.get(name)
        if field is None or given.keys() & set(spellings(name, field)):
            continue
        text = described(field)
        short = text if len(text) <= _LONGEST else f"{text[:_LONGEST].rpartition(' ')[0]} …"
        yield f"{name}: {json.dumps((field.examples or [None])[0])}  # {short}"


def _secrets(credentials: Any) -> Iterator[str]:
    """Yield where secrets could stand that stand in the file."""
    for key, value in mapping(credentials).items():
        if isinstance(value, str) and value and is_secret(key) and "${" not in value:
            yield f"{key}: {{file: /run/secrets/{key}}}  # instead of the value in this file"
