"""botocore's sessions, which share what botocore knows of AWS's APIs.

On its own a session reads megabytes of JSON for its services again, and keeps what they say. Shared, it is
read once, whatever the number of accounts.
"""

import os
import platform
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import botocore
import msgspec
import orjson
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session
from botocore.utils import parse_timestamp
from isal import igzip

_FORMS: tuple[tuple[str, Any], ...] = ((".json", open), (".json.gz", igzip.open))


_ENDPOINTS, _PARTITIONS, _SERVICES = "/endpoints", "partitions", "services"
"""botocore's file of all hosts, and its keys."""


class _Descriptions:
    """botocore's JSONFileLoader with orjson: JSON is half of what a first client costs."""

    def exists(self, file_path: str) -> bool:
        return any(Path(file_path + ending).is_file() for ending, _ in _FORMS)

    def load_file(self, file_path: str) -> Any:
        for ending, opened in _FORMS:
            try:
                with opened(file_path + ending, "rb") as file:
                    return (_endpoints if file_path.endswith(_ENDPOINTS) else orjson.loads)(file.read())
            except FileNotFoundError:
                continue
        return None


class _ReadLater(dict[str, Any]):
    """A mapping whose values are JSON until somebody asks for them. Races do the same twice."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, msgspec.Raw):
            found = self[name] = msgspec.json.decode(found)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value as `[]` does."""
        if name not in self:
            return default
        return self[name]


def _endpoints(text: bytes) -> dict[str, Any]:
    """Return the hosts of all services: few of four hundred are asked for, and all take seven mebibytes."""
    read = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    found = {name: msgspec.json.decode(raw) for name, raw in read.items() if name != _PARTITIONS}
    told = msgspec.json.decode(read[_PARTITIONS], type=list[dict[str, msgspec.Raw]])
    return {**found, _PARTITIONS: [_partition(one) for one in told]}


def _partition(told: dict[str, msgspec.Raw]) -> dict[str, Any]:
    services = msgspec.json.decode(told[_SERVICES], type=dict[str, msgspec.Raw])
    rest = {name: msgspec.json.decode(raw) for name, raw in told.items() if name != _SERVICES}
    return {**rest, _SERVICES: _ReadLater(services)}


class _Services(Loader):  # type: ignore[misc]
    """botocore's Loader, which looks into each of four hundred folders before it opens one of them."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's own shape
        folders = [Path(path) for path in self.search_paths]
        return sorted({found.name for path in folders if path.is_dir() for found in path.iterdir()})


@cache
def _shared() -> Loader:
    paths: Any = Session().get_component("data_loader").search_paths  # it knows the user's AWS_DATA_PATH
    return _Services(paths, _Descriptions(), include_default_search_paths=False)


def new_session() -> Session:
    """Return a session with credentials and clients of its own."""
    session = Session()
    session.register_component("data_loader", _shared())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return session


def moment(value: Any) -> datetime:
    """Return a reply's time, aware; dateutil takes half of what a listing of a bucket costs."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    found: datetime = parse_timestamp(value)
    return found


def region_of_machine(session: Session, env: Mapping[str, str] = os.environ) -> str:
    """Return the region that this machine is configured for, "" for none. botocore reads no AWS_REGION."""
    return env.get("AWS_REGION") or session.get_config_variable("region") or ""


@cache
def client_config() -> Config:
    """Return what all clients are made with."""
    return Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=64,
        tcp_keepalive=True,
        user_agent=_user_agent(),
        parameter_validation=False,  # AWS checks them too; both together save an eighth of a call's cost
    )


def _user_agent() -> str:
    """Return who asks. Given whole: else botocore puts its own together twice for every request."""
    try:
        ours = version("devo-aws-collector")
    except PackageNotFoundError:
        ours = "0"
    return f"devo-aws-collector/{ours} Botocore/{botocore.__version__} Python/{platform.python_version()}"
