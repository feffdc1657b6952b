"""botocore's sessions, which share what botocore knows of AWS's APIs.

On its own a session reads megabytes of JSON for its services again, and keeps what they say. Shared, it is
read once, whatever the number of accounts.
"""

import os
import platform
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import botocore
import msgspec
import orjson
from botocore.config import Config
from botocore.handlers import BUILTIN_HANDLERS, REGISTER_FIRST, REGISTER_LAST
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader
from botocore.session import Session
from botocore.utils import parse_timestamp
from isal import igzip

from sources.aws.pace import pace_boto3

_FORMS: tuple[tuple[str, Any], ...] = ((".json", open), (".json.gz", igzip.open))


_DOCUMENTATION = re.compile(rb'"documentation":"[^"\\]*(?:\\.[^"\\]*)*"')
"""Two thirds of what a service's description says is said to people."""

_SERVICE, _SHAPES = "/service-2", "shapes"
_ENDPOINTS, _PARTITIONS, _SERVICES = "/endpoints", "partitions", "services"
"""botocore's file of a service, that of all hosts, and their keys."""


class _Descriptions:
    """botocore's JSONFileLoader with orjson: JSON is half of what a first client costs."""

    def exists(self, file_path: str) -> bool:
        return any(Path(file_path + ending).is_file() for ending, _ in _FORMS)

    def load_file(self, file_path: str) -> Any:
        for ending, opened in _FORMS:
            try:
                with opened(file_path + ending, "rb") as file:
                    return _read(file_path)(file.read())
            except FileNotFoundError:
                continue
        return None


def _read(path: str) -> Callable[[bytes], Any]:
    return _endpoints if path.endswith(_ENDPOINTS) else _service if path.endswith(_SERVICE) else orjson.loads


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


def _service(text: bytes) -> dict[str, Any]:
    """Return a service's operations, and its shapes: few of them are ever used."""
    told = _DOCUMENTATION.sub(b'"documentation":""', text)
    read = msgspec.json.decode(told, type=dict[str, msgspec.Raw])
    return {name: _later(raw) if name == _SHAPES else msgspec.json.decode(raw) for name, raw in read.items()}


def _later(raw: msgspec.Raw) -> _ReadLater:
    return _ReadLater(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))


def _endpoints(text: bytes) -> dict[str, Any]:
    """Return the hosts of all services: few of four hundred are asked for, and all take seven mebibytes."""
    read = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    found = {name: msgspec.json.decode(raw) for name, raw in read.items() if name != _PARTITIONS}
    told = msgspec.json.decode(read[_PARTITIONS], type=list[dict[str, msgspec.Raw]])
    return {**found, _PARTITIONS: [_partition(one) for one in told]}


def _partition(told: dict[str, msgspec.Raw]) -> dict[str, Any]:
    rest = {name: msgspec.json.decode(raw) for name, raw in told.items() if name != _SERVICES}
    return {**rest, _SERVICES: _later(told[_SERVICES])}


class _Services(Loader):  # type: ignore[misc]
    """botocore's Loader, which looks into each of four hundred folders before it opens one of them."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's own shape
        folders = [Path(path) for path in self.search_paths]
        return sorted({found.name for path in folders if path.is_dir() for found in path.iterdir()})


@cache
def _shared() -> Loader:
    paths: Any = Session().get_component("data_loader").search_paths  # it knows the user's AWS_DATA_PATH
    return _Services(paths, _Descriptions(), include_default_search_paths=False)


_METHODS: dict[str, dict[str, Any]] = {}
"""Event of a service → what its clients' class is made of: a method for each operation, and its document."""


def _same_methods(class_attributes: dict[str, Any], event_name: str, **_: Any) -> None:
    """Give all clients of a service the methods of the first one."""
    class_attributes.update(_METHODS.setdefault(event_name, dict(class_attributes)))


_OTHERS = (
    "apigateway autoscaling bedrock-runtime cloudformation cloudsearchdomain cognito-identity connecthealth "
    "docdb dsql glacier iot-data lex-runtime-v2 machinelearning mturk neptune polly qbusiness rds route53 "
    "socialmessaging"
)
_FOREIGN = frozenset(_OTHERS.split())
"""Services that are never asked here, and of which botocore has handlers."""


def _register_handlers(events: HierarchicalEmitter) -> None:
    """Register botocore's own, but for documents and foreign services: each client copies all there are."""
    ways = {
        (): events.register,
        (REGISTER_FIRST,): events.register_first,
        (REGISTER_LAST,): events.register_last,
    }
    for event, handler, *when in BUILTIN_HANDLERS:
        kind, _, rest = event.partition(".")
        if kind != "docs" and rest.partition(".")[0] not in _FOREIGN:
            ways[tuple(when)](event, handler)
    events.register_last("creating-client-class", _same_methods)


def new_session() -> Session:
    """Return a session with credentials and clients of its own."""
    session = Session(include_builtin_handlers=False)
    events = session.get_component("event_emitter")
    _register_handlers(events)
    pace_boto3(events)
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
