"""Where files lie: the configuration itself, and the certificates and folders that it names."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flows.config.errors import SettingsError

CERTIFICATES = ("chain", "cert", "key", "chain_loc", "cert_loc", "key_loc")
"""Keys of an output's config that name a file, in both of Devo's spellings."""


NAMED_BY = ("COLLECTOR_CONFIG", "CONFIG_FILE")
"""Variables of the environment that may name the configuration, in this order."""


def find(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Path:
    """Return the configuration file that is named, else ./config.yaml or ./config/config.yaml.

    Named by: `path` (--config), $COLLECTOR_CONFIG, $CONFIG_FILE, in this order. A relative name may also lie
    under ./config/, where Devo's collector looks; with $CONFIG_FILE that is the first place.
    Raises SettingsError when the one that is named does not exist, or none does.
    """
    named = {f"${name}": env.get(name) for name in NAMED_BY}
    for source, name in ({"--config": path} | named).items():
        if name:
            places = [Path(name), Path("config") / name]
            ordered = places[::-1] if source == "$CONFIG_FILE" else places
            if found := next(filter(Path.is_file, ordered), None):
                return found
            raise SettingsError(f"no configuration file {name}", source, "correct the name")
    if found := next(filter(Path.is_file, (Path("config.yaml"), Path("config/config.yaml"))), None):
        return found
    raise SettingsError(
        "no configuration file",
        "--config, $COLLECTOR_CONFIG, $CONFIG_FILE (under ./config/), ./config.yaml, ./config/config.yaml",
        "write one of these, or see it work with python -m flows demo",
    )


def base_folder(path: Path) -> Path:
    """Return where relative names count from: the file's folder, or the one above a folder named config."""
    folder = path.absolute().parent
    return folder.parent if folder.name == "config" else folder


def by_name(output: Any) -> object:
    """Return an output as written, with `{file: PATH}` of a certificate as PATH: it is a file anyway."""
    config = output.get("config") if isinstance(output, dict) else None
    if not isinstance(config, dict):
        return output
    plain = {key: config[key]["file"] for key in CERTIFICATES if _is_reference(config.get(key))}
    return {**output, "config": {**config, **plain}}


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"file"}


def located(
    config: Mapping[str, Any], path: Path, where: str, wrong: Callable[[SettingsError], None]
) -> dict[str, object]:
    """Return an output's config with absolute names of its files.

    Certificates are looked up under ./certs/, then beside the configuration (`path`). `wrong` is told of
    those that are not there; where: file and path of the config, for messages.
    """
    places = (
        Path("certs").absolute(),
        base_folder(path) / "certs",
        path.absolute().parent,
        base_folder(path),
    )
    found = dict(config)
    for key in CERTIFICATES:
        if isinstance(config.get(key), str):
            try:
                found[key] = str(_certificate(config[key], places, f"{where}.{key}"))
            except SettingsError as error:
                wrong(error)
    if isinstance(config.get("path"), str):
        found["path"] = str(base_folder(path) / Path(config["path"]).expanduser())
    return found


def _certificate(name: str, places: tuple[Path, ...], where: str) -> Path:
    if "-----BEGIN" in name:
        raise SettingsError(
            "a certificate's text stands where its file's name belongs", where, "save it as a file"
        )
    candidates = dict.fromkeys(place / Path(name).expanduser() for place in places)
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise SettingsError(f"no file {name}", where, f"put it at one of {looked}")


def folder_or_bucket(name: str | None, state: Path, base: Path) -> str:
    """Return where quarantine lies: an s3:// prefix as it is, a folder as an absolute name.

    name: as configured, None = `quarantine` in the recovery directory, which outlives a container. base:
    relative names count from it.
    """
    if name is None:
        return str(state / "quarantine")
    return name if name.startswith("s3://") else str(base / Path(name).expanduser())
