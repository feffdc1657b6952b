"""The configuration: what it says, checked as a whole.

Devo's own files load unchanged: an on-premise collector's (`globals`, `inputs`, `outputs`) and the JSON of
a hosted one (`global_overrides`, `inputs`). Everything that is wrong is told at once, one line each.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from pydantic import BaseModel, SecretStr, ValidationError

from flows.catalogue.filters import impossible
from flows.catalogue.object_types import CUSTOM
from flows.catalogue.services import ANY_NAME, SETTINGS, every, services_of, settings_of
from flows.config.base import ServiceSettings
from flows.config.errors import NO_MAPPING, SettingsError, SettingsErrors, as_list, nearest, raise_any, told
from flows.config.misplaced import put_right
from flows.config.model_tree import names_of
from flows.config.objects import SqsLogsSettings, sqs_defaults
from flows.config.organization import DEFAULT_REGIONS, OrganizationSettings
from flows.config.paths import base_folder, by_name, find, folder_or_bucket, located
from flows.config.read import References, read
from flows.config.schema import lists_of_one
from flows.config.settings import FROM_GLOBALS, Globals, Input, JournalSettings
from sinks.settings import OutputSettings, Syslog, parse_output
from transforms.file_secret import FileSecret
from transforms.setting import has_effect, ineffective, spellings

__all__ = ["Settings", "SettingsError", "SettingsErrors", "find", "load"]

_TOP = frozenset({"globals", "global_overrides", "inputs", "outputs"})
_NETWORK = frozenset({"devo_platform", "relay", "syslog", "in_house_relay", "sidecar"})
_MARKED = " or ".join(f"types: [{one.name}]" for one in ANY_NAME if one is not CUSTOM)
_ANY_NAME = f"a service of any name needs {_MARKED}, or file_format and routing_template"
_RECEIVER_UNKNOWN = (
    "is not set: of a line that is too long (rsyslog: 8097 bytes, syslog-ng: 65537, unless told otherwise) a "
    "receiver makes several events, under tags that whoever wrote the log has chosen: say how long a line "
    "it takes, which `check --probe` shows; Devo's relay cuts none"
)
_SERVICE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class JournalPlace(Struct, frozen=True):
    """Where the journal is kept, and for how many days. bucket: `s3://…` that has it, "" = the folder."""

    folder: Path
    keep_days: int
    bucket: str = ""


class Settings(Struct, frozen=True):
    """A configuration that is right in itself.

    inputs: name → input, its `services` a mapping of name → settings model. outputs: name → output; the
    console when the configuration has none. warnings: one line each, for `check` and the log.
    path: the file. state_directory: the recovery directory, None when state shall not survive.
    journal: where what was delivered is written down, None = nowhere.
    """

    globals: Globals
    inputs: Mapping[str, Input]
    outputs: Mapping[str, OutputSettings]
    warnings: tuple[str, ...] = ()
    path: Path | None = None
    state_directory: Path | None = None
    journal: JournalPlace | None = None


def load(
    path: Path | None = None, env: Mapping[str, str] = os.environ, *, need_inputs: bool = True
) -> Settings:
    """Find, read and check a configuration; raises SettingsError, or SettingsErrors with all that is wrong.

    Keys of the file that begin with x- only hold what YAML aliases repeat, as in Docker Compose.

    need_inputs: a configuration without inputs is wrong (replay needs outputs only).
    """
    found = find(path, env)
    raw = {key: value for key, value in read(found).items() if not str(key).startswith("x-")}
    misplaced = put_right(raw, str(found))
    if isinstance(raw.get("outputs"), dict):
        raw["outputs"] = {name: by_name(output) for name, output in raw["outputs"].items()}
    references = References(env, str(found), found.absolute().parent)
    raw = references.resolve(raw)
    if references.errors:  # what they stand for could be wrong only because it is missing
        raise_any([*misplaced, *references.errors])
    loading = _Loading(found, env, references.secrets, references.files)
    settings = loading.settings(raw, need_inputs=need_inputs)
    raise_any([*misplaced, *loading.errors])
    return settings


class _Loading(Struct):
    """One file on its way to Settings; gathers errors and warnings."""

    path: Path
    env: Mapping[str, str]
    secrets: set[str]
    files: Mapping[tuple[str, ...], Path]
    errors: list[SettingsError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def settings(self, raw: dict[str, object], *, need_inputs: bool) -> Settings:
        """Return the settings, which count only if no errors were noted."""
        for name in sorted(raw.keys() - _TOP):
            self._wrong(f"unknown key {name}", name, nearest(name, _TOP))
        top = self._globals({**self._mapping(raw, "globals"), **self._mapping(raw, "global_overrides")})
        outputs = self._outputs(self._mapping(raw, "outputs"), top)
        given = self._mapping(raw, "inputs")
        inputs = {name: found for name, one in given.items() if (found := self._input(name, one))}
        if need_inputs and not raw.get("inputs"):
            self._wrong("inputs are missing", "inputs", "say what to collect, see docs/settings.md")
        self._check_together(inputs)
        # systemd's StateDirectory= is where a service may write; what it reads lies elsewhere
        base = Path(self.env.get("STATE_DIRECTORY") or base_folder(self.path))
        state = base / Path(top.persistence.config.directory_name).expanduser()
        quarantine = folder_or_bucket(top.quarantine, state, base)
        return Settings(
            globals=top.model_copy(update={"quarantine": quarantine}),
            inputs=inputs,
            outputs=outputs,
            warnings=tuple(self.warnings),
            path=self.path,
            state_directory=None if top.persistence.type == "memory" else state,
            journal=journal_place(top, state),
        )

    def _wrong(self, what: str, place: str, hint: str) -> None:
        self.errors.append(SettingsError(what, f"{self.path}: {place}", hint))

    def _warn(self, place: str, text: str) -> None:
        self.warnings.append(f"{place}: {text}")

    def _warn_of(self, ineffective_keys: Mapping[str, str], place: str) -> None:
        for name, why in ineffective_keys.items():
            self._warn(f"{place}.{name}", f"has no effect here{f': {why}' if why else ''}")

    def _mapping(self, raw: Mapping[str, object], name: str) -> dict[str, object]:
        """Return the mapping under a key; absent or empty is an empty one."""
        value = raw.get(name) or {}
        if isinstance(value, dict):
            return value
        self._wrong(f"{name} is no mapping", name, NO_MAPPING)
        return {}

    def _valid(self, make: Callable[[Any], object], model: object, raw: object, place: str) -> Any:
        """Return make(raw), or None with the errors noted; model: what is made, for hints."""
        if not isinstance(raw, dict):
            self._wrong(f"{place.rpartition('.')[2]} is no mapping", place, NO_MAPPING)
            return None
        try:
            return make(raw)
        except ValidationError as error:
            self.errors += told(error, model, raw, f"{self.path}: {place}", self.secrets)
            return None

    def _globals(self, raw: dict[str, object]) -> Globals:
        found: Globals = self._valid(Globals.model_validate, Globals, raw, "globals") or Globals()
        self._warn_of(ineffective(found), "globals")
        self._warn_of_lists(Globals, raw, "globals")
        kind, place = found.persistence.type, "globals.persistence.type"
        if kind == "redis":
            self._warn(place, "redis is not supported: state is kept in the recovery directory instead")
        if kind == "memory":
            self._warn(
                place,
                "no state survives: queues lose nothing by it, APIs and listings begin anew at each start",
            )
        return found

    def _outputs(self, raw: dict[str, object], top: Globals) -> dict[str, OutputSettings]:
        if not raw:
            self._warn("outputs", "none is given, so events go to the console")
            return {"console": parse_output("console", {"type": "console"})}
        return {name: found for name, one in raw.items() if (found := self._output(name, one, top))}

    def _output(self, name: str, raw: object, top: Globals) -> OutputSettings | None:
        place = f"outputs.{name}"
        if isinstance(raw, dict) and isinstance(raw.get("config"), dict):
            config = located(raw["config"], self.path, f"{self.path}: {place}.config", self.errors.append)
            raw = {**raw, "config": {**config, **_from_globals(top, raw.get("type"))}}
        found: OutputSettings | None = self._valid(
            lambda given: parse_output(name, given), OutputSettings, raw, place
        )
        if found:
            self._warn_of(ineffective(found.config), f"{place}.config")
            config = self._read_again(found.config, ("outputs", name, "config"))
            found = found.model_copy(update={"config": config})
        if isinstance(found, Syslog) and "receiver_max_event_bytes" not in found.config.model_fields_set:
            self._warn(f"{place}.config.receiver_max_event_bytes", _RECEIVER_UNKNOWN)
        return found

    def _input(self, name: str, raw: Any) -> Input | None:
        place = f"inputs.{name}"
        found: Input | None = self._valid(Input.model_validate, Input, raw, place)
        given = raw.get("services") if isinstance(raw, dict) else None
        if isinstance(given, dict):
            made = {key: self._service(key, one, raw, f"{place}.services") for key, one in given.items()}
            if not found:
                self._tell_once(given, place)
            services = {key: one for key, one in made.items() if one}
            self._share_no_queue(services, raw.get("base_url"), place)
            if found and found.organization:
                self._read_no_account_twice(services, place)
            found = found.model_copy(update={"services": services}) if found else None
        if found:
            self._warn_of(ineffective(found), place)
            kinds: dict[str, BaseModel | None] = {
                "credentials": found.credentials,
                "queue_credentials": found.queue_credentials,
                "organization": found.organization,
            }
            again = {kind: self._read_again(one, ("inputs", name, kind)) for kind, one in kinds.items()}
            found = found.model_copy(update=again)
        return found

    def _tell_once(self, services: Mapping[str, Any], place: str) -> None:
        """Forget what is wrong with a service only because a wrong key of its input stands for its own."""
        derived = {
            f"{self.path}: {place}.services.{name}.{key}"
            for name, one in services.items()
            for key in ("regions", "queue_url", "visibility_timeout_seconds", "requests_per_second")
            if not (isinstance(one, dict) and key in one)
        }
        self.errors = [one for one in self.errors if one.where not in derived]

    def _read_again(self, model: Any, place: tuple[str, ...]) -> Any:
        """Return a model whose secrets in files are read there whenever they are needed."""
        if not isinstance(model, BaseModel):
            return model
        found = {
            name: FileSecret(self.files[*place, key], value.get_secret_value())
            for key, name in names_of(type(model)).items()
            if (*place, key) in self.files and isinstance(value := dict(model)[name], SecretStr)
        }
        return model.model_copy(update=found) if found else model

    def _share_no_queue(self, services: Mapping[str, ServiceSettings], base_url: object, place: str) -> None:
        """Note services that would take each other's messages from the input's one queue."""
        users = {
            key: one for key, one in services.items() if isinstance(one, SqsLogsSettings) and one.enabled
        }
        sharing = [key for key, one in users.items() if base_url and one.queue_url == base_url]
        if len(sharing) > 1:
            what = f"base_url is the queue of {' and '.join(sharing)}"
            self._wrong(what, f"{place}.base_url", "give each service a queue_url, or take a mixed type")

    def _read_no_account_twice(self, services: Mapping[str, ServiceSettings], place: str) -> None:
        """Note services of an organization that read in one account what they read in each."""
        for key, one in services.items():
            if one.enabled and dict(one).get("include_linked_accounts"):
                what = "include_linked_accounts would read twice what organization reads in each account"
                hint = "leave it out, or take an input without organization for the monitoring account"
                self._wrong(what, f"{place}.services.{key}.include_linked_accounts", hint)

    def _service(
        self, name: str, raw: object, around: Mapping[str, object], place: str
    ) -> ServiceSettings | None:
        place = f"{place}.{name}"
        options = {} if raw in (None, "") else raw
        model = settings_of(name, options if isinstance(options, dict) else {})
        if model is None or not _SERVICE_NAME.fullmatch(name):
            home = every().get(name)
            typed = home and home.service_key
            hint = f"it is a type: write types: [{name}] under {typed}" if typed else nearest(name, SETTINGS)
            self._wrong(f"unknown service {name}", place, f"{hint} ({_ANY_NAME})")
            return None
        if isinstance(options, dict):
            self._warn_of_lists(model, options, place)
            options = first_spelling(model, options)
            regions = everywhere(around) if asks_apis(name, model, options) else ()
            options = {
                **self._defaults(model, around, options),
                **({"regions": regions} if regions else {}),
                **{k: v for k, v in options.items() if v != ""},
            }
        found: ServiceSettings | None = self._valid(model.model_validate, model, options, place)
        if isinstance(found, SqsLogsSettings) and name not in SETTINGS and not found.is_custom:
            missing = "file_format" if found.file_format is None else "routing_template"
            self._wrong(f"{name} has no {missing}", place, "a custom service needs file_format and a tag")
        if found:
            self._warn_of(ineffective(found), place)
            wishes = [one for kind in services_of(name, found) for one in impossible(kind, found)]
            for what, hint in dict.fromkeys(wishes):
                self._wrong(what, place, hint)
        return found

    def _warn_of_lists(self, model: type[BaseModel], given: Mapping[str, object], place: str) -> None:
        """Tell of each text, or mapping, that is taken as a list of one."""
        for where, value in lists_of_one(model, given, place):
            several = as_list(value)
            shown = repr(value) if several else value if isinstance(value, str) else "…"
            cure = f", write {several} for several" if several else ""
            self._warn(where, f"is taken as a list of one: [{shown}]{cure}")

    def _defaults(
        self, model: type[ServiceSettings], around: Mapping[str, object], own: Mapping[str, object]
    ) -> dict[str, object]:
        """Return what a service takes from its input and from the environment."""
        region = self.env.get("AWS_REGION") or self.env.get("AWS_DEFAULT_REGION")
        defaults: dict[str, object] = {"regions": [region]} if region else {}
        rate = around.get("requests_per_second")
        if rate is not None and has_effect(model, "requests_per_second"):
            defaults["requests_per_second"] = rate
        return {**defaults, **sqs_defaults(around, own)} if model is SqsLogsSettings else defaults

    def _check_together(self, inputs: Mapping[str, Input]) -> None:
        """Note what is wrong between inputs: ids are the states' identity, so no two may share one."""
        enabled = {name: one for name, one in inputs.items() if one.enabled}
        for identity, count in Counter(one.id for one in enabled.values()).items():
            if count > 1:
                names = [name for name, one in enabled.items() if one.id == identity]
                self._wrong(
                    f"id {identity} of {' and '.join(names)} is one", f"inputs.{names[1]}.id", "give another"
                )
        if inputs and not any(one.enabled for input_ in enabled.values() for one in input_.services.values()):
            self._warn("inputs", "every one is switched off, nothing is collected")


def asks_apis(service_key: str, model: type[ServiceSettings], given: Mapping[str, object]) -> bool:
    """Tell whether a service of the configuration is of those that ask an API, and of no other."""
    try:
        found = model.model_validate({**given, "enabled": False})
    except ValidationError:  # told when all of it is read
        return False
    return all(one.probes for one in services_of(service_key, found))


def everywhere(around: Mapping[str, object]) -> tuple[str, ...]:
    """Return the regions that an input's organization stands for, () for none."""
    given = around.get("organization")
    if given is None:
        return ()
    try:
        return tuple(OrganizationSettings.model_validate(given).likely_regions)
    except ValidationError:  # that is told of the input; its services lack no regions by it
        return tuple(DEFAULT_REGIONS)


def first_spelling(model: type[ServiceSettings], given: Mapping[str, object]) -> dict[str, object]:
    """Return settings under the first spelling of each key; a key that is there twice stays as it is."""
    other = {spelt: spellings(name, model.model_fields[name])[0] for spelt, name in names_of(model).items()}
    return {other[key] if other.get(key, key) not in given else key: value for key, value in given.items()}


def _from_globals(top: Globals, output_type: object) -> dict[str, object]:
    """Return what `globals` sets in the config of every output over a connection."""
    if not isinstance(output_type, str) or output_type not in _NETWORK:
        return {}
    given = dict(top)
    return {key: given[name] for name, key in FROM_GLOBALS.items() if given[name] is not None}


def journal_place(top: Globals, state: Path) -> JournalPlace | None:
    """Return the journal's place; by default it lies in the recovery directory, and without one nowhere."""
    match top.journal:
        case JournalSettings() as found:
            pass
        case str() as folder:
            found = JournalSettings(folder=folder)
        case is_kept:  # YAML reads off as false
            found = JournalSettings() if is_kept else JournalSettings(folder="off")
    if found.folder.startswith("s3://"):
        return JournalPlace(state / "journal", found.keep_days, found.folder)
    relative = not Path(found.folder).expanduser().is_absolute()
    if found.folder == "off" or (relative and top.persistence.type == "memory"):
        return None
    return JournalPlace(state / Path(found.folder).expanduser(), found.keep_days)
