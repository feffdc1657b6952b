"""From a file to plain data: YAML or JSON, references to the environment and to files of secrets."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from flows.config.errors import SettingsError, is_secret
from flows.config.held import bytes_held
from transforms.file_secret import secret_of

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MERGE = "tag:yaml.org,2002:merge"
_LARGEST = 4 << 20
_DEEPEST = 20
_MOST_PARTS = 100_000
"""Of a configuration once its YAML aliases are written out; ten lines of them can stand for a billion."""


class _Loader(yaml.SafeLoader):
    """YAML as Devo's collector reads it: timestamps stay text. Numbers keep their leading zeros as text.

    Keys are text as it stands there: `on` and `no` are names as good as others.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[object, object]:  # noqa: FBT001, FBT002 - PyYAML's
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value} stands twice", key.start_mark
                    )
                seen.add(key.value)
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def _resolvers() -> dict[object, list[tuple[str, re.Pattern[str]]]]:
    """Return PyYAML's rules for plain scalars, less timestamps and YAML 1.1's octal and base-60 numbers."""
    dropped = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}
    kept = {
        first: [rule for rule in rules if rule[0] not in dropped]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    decimal = ("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"))
    for first in "-+0123456789":
        kept[first] = [*kept.get(first, []), decimal]
    return kept


_Loader.yaml_implicit_resolvers = _resolvers()


def read(path: Path) -> dict[str, Any]:
    """Return a configuration file's content; raises SettingsError with line and column of what is wrong."""
    try:
        data = bytes_held(path, _LARGEST + 1)
        if data is None:
            with path.open("rb") as file:
                data = file.read(_LARGEST + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError("configuration is not UTF-8", f"{path}", "save it as UTF-8") from error
    except OSError as error:
        raise SettingsError(
            "configuration cannot be read", f"{path}", f"give another --config ({error.strerror})"
        ) from error
    if len(data) > _LARGEST:
        raise SettingsError("configuration is too large", f"{path}", "is this the right file?")
    content = _parse(path, text)
    if not isinstance(content, dict):
        raise SettingsError(
            "configuration is no mapping",
            f"{path}",
            "begin with the keys inputs and outputs; python -m flows schema",
        )
    found: dict[str, Any] = _bounded(content, path, count())
    return found


def _bounded(value: Any, path: Path, parts: Iterator[int], place: tuple[str, ...] = ()) -> Any:
    """Return a value with keys as text. Raises SettingsError for one that YAML aliases make endless."""
    if len(place) > _DEEPEST or next(parts) > _MOST_PARTS:
        what = "configuration refers to itself" if len(place) > _DEEPEST else "configuration is too large"
        raise SettingsError(what, f"{path}: {place[0]}", "remove the YAML alias in it")
    if isinstance(value, Mapping):
        return {str(key): _bounded(one, path, parts, (*place, str(key))) for key, one in value.items()}
    if isinstance(value, list):
        return [_bounded(one, path, parts, (*place, str(number))) for number, one in enumerate(value)]
    return value


def _parse(path: Path, text: str) -> object:
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as error:
        place = f"{path}: line {error.lineno}, column {error.colno}"
        known = _known_fault(text, error.lineno - 1, error.colno - 1)
        what, hint = known or (f"no JSON ({error.msg})", "correct this place")
        raise SettingsError(what, place, hint) from None  # the cause would hold the text, secrets included
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}: line {mark.line + 1}, column {mark.column + 1}" if mark else f"{path}"
        what = f"no YAML ({error.problem or error.context})"
        if "expected <block end>" in what and "start>" in what:
            what = "no YAML (this line is indented otherwise than what it belongs to)"
        known = _known_fault(text, mark.line, mark.column) if mark else None
        what, hint = known or (what, "correct this place, or the one before it")
        raise SettingsError(what, place, hint) from None  # the cause would show the line, secrets included
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split()) or "too deep"
        raise SettingsError(
            f"cannot be understood ({what})", f"{path}", "write it as YAML or JSON"
        ) from error


def _known_fault(text: str, number: int, column: int) -> tuple[str, str] | None:
    """Return what is wrong at a place that people often write so, and the cure; None when it is another.

    number, column: from 0. Only names of variables are repeated: whatever else stands there may be a secret.
    """
    line = (text.split("\n") + [""] * number)[number]
    reference = next((one for one in _VARIABLE.finditer(line) if one.start() <= column < one.end()), None)
    if reference:
        what = f"not readable (within {{ }} or [ ], {reference[0]} needs quotes)"
        return what, f'write "{reference[0]}", and the same for others in this file'
    if line[column : column + 1] == "\t":
        return "no YAML (a tab)", "indent with blanks: YAML knows no tabs there"
    if line[column : column + 1] in set("*&%@`"):
        alias = ", an undefined alias" if line[column] == "*" else ""
        return f"no YAML (a value that begins with {line[column]}{alias})", 'write "…" around the value'
    return None


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key} stands twice")
        found[key] = value
    return found


class References:
    """Replaces `${VARIABLE}` and `{file: PATH}` by what they stand for, and remembers what must stay secret.

    env: the variables. where: the file's name, for messages. folder: relative PATHs lie there.
    `errors` tells of each reference that leads nowhere; `secrets` holds every text that came from one or
    stands under a secret's key; `files` the file of each value that is one's text, by its path.
    """

    def __init__(self, env: Mapping[str, str], where: str, folder: Path) -> None:
        self._env, self._where, self._folder = env, where, folder
        self.errors: list[SettingsError] = []
        self.secrets: set[str] = set()
        self.files: dict[tuple[str, ...], Path] = {}

    def resolve(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """Return a value with its references replaced.

        Keys without a value are left out, except services: one without settings is one of defaults.
        """
        if isinstance(value, Mapping):
            if value.keys() == {"file"} and isinstance(value["file"], str):
                return self._from_file(value["file"], path)
            return {
                key: self.resolve(inner, (*path, key))
                for key, inner in value.items()
                if inner is not None or path[-1:] == ("services",)
            }
        if isinstance(value, list):
            return [self.resolve(inner, (*path, str(position))) for position, inner in enumerate(value)]
        if isinstance(value, str):
            value = _VARIABLE.sub(lambda found: self._from_environment(found[1], path), value)
        if type(value) in {str, int} and path and is_secret(path[-1]):
            self.secrets.add(str(value))
        return value

    def _from_environment(self, name: str, path: tuple[str, ...]) -> str:
        value = self._variable(name, path)
        if value:
            self.secrets.add(value)
        return value

    def _variable(self, name: str, path: tuple[str, ...]) -> str:
        if name not in self._env:
            self._missing(f"environment variable {name} is not set", path, f"set {name}, or write the value")
        return self._env.get(name, "")

    def _from_file(self, name: str, path: tuple[str, ...]) -> str:
        wrong = len(self.errors)
        expanded = _VARIABLE.sub(lambda found: self._variable(found[1], path), name)
        if len(self.errors) > wrong:
            return ""
        place = self._folder / Path(expanded).expanduser()
        try:
            text = secret_of(place)
        except (OSError, ValueError) as error:
            shown = place if expanded == name else name  # a variable could hold the secret by mistake
            why = (error.strerror if isinstance(error, OSError) else None) or error
            hint = f"put the secret there, readable for this user ({why})"
            self._missing(f"file {shown} cannot be read", path, hint)
            return ""
        self.secrets.add(text)
        self.files[path] = place
        return text

    def _missing(self, what: str, path: tuple[str, ...], hint: str) -> None:
        self.errors.append(SettingsError(what, f"{self._where}: {'.'.join(path)}", hint))
