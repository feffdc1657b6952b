"""What a service is: a value.

A `Service` says everything the collector knows about one kind of data: its settings, where it is read
from, how its events look, the permissions it needs, how to recognise its objects. `services.py` is the
catalogue, one value each; nothing else branches on a service's name.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from msgspec import Struct

from flows.config.errors import SettingsError
from sources.aws.account import Account
from transforms.block import Item, Transform
from transforms.layout import Layout

PREFETCH_BYTES = 24 << 20
_ALL_PREFETCH_BYTES, _LEAST_PREFETCH_BYTES = 10 * PREFETCH_BYTES, 1 << 20


def prefetch_share(services: int) -> int:
    """Return how much a service may hold when it shares a process with others: ten hold it in full."""
    return max(min(PREFETCH_BYTES, _ALL_PREFETCH_BYTES // max(services, 1)), _LEAST_PREFETCH_BYTES)


class Permission(Struct, frozen=True):
    """IAM actions on one kind of resource.

    resource: an ARN pattern with {queue}, {bucket} or "*" where AWS offers no narrower one.
    """

    actions: tuple[str, ...]
    resource: str


QUEUE = Permission(
    ("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"), "{queue}"
)
OBJECTS = Permission(("s3:GetObject", "s3:GetObjectVersion"), "{bucket}/*")
"""What S3 services need, and no more: AWS asks for the second one where a notice names a version."""


class RunContext(Struct, frozen=True):
    """What a running process lends to its sources.

    drain: set when the process shall end. recovery: the recovery directory, None = cursors do not survive.
    prefetch_bytes: how much a service may hold in memory before the dataflow takes it. services: how many
        the process runs.
    """

    drain: Event
    recovery: Path | None = None
    prefetch_bytes: int = PREFETCH_BYTES
    services: int = 1


class ConfiguredService(Struct, frozen=True):
    """One service of one input: what one source step of the dataflow runs.

    service_key: its key under `services`. options: its settings model. environment: the input's, for
    `@devo_environment`.
    """

    input_id: str
    service_key: str
    account: Account
    service: "Service"
    options: Any
    environment: str = ""

    @property
    def step_id(self) -> str:
        """Name of the dataflow step: part of the state's identity, so it never changes for an input id."""
        return f"{self.input_id}-{self.service_key}-{self.service.name}".replace(".", "_")

    @property
    def name(self) -> str:
        """What `--service` calls it: the service, or the key under `services` where that may be any."""
        return self.service.name if self.service.service_key == self.service_key else self.service_key

    def layout(self) -> Layout:
        """Return how the objects of this unit are laid out; only services read from S3 have a layout."""
        if self.service.layout is None:
            raise SettingsError("service has no objects", self.service.name, "name one that is read from S3")
        return self.service.layout(self.options)


Source = FixedPartitionedSource[Item, Any]


class Service(Struct, frozen=True):
    """One kind of data.

    name: unique, used in step ids, metrics and messages, e.g. `flowlogs`.
    service_key: key under `services`, e.g. `non-cloudwatch-logs`; "" = any (custom logs).
    source: builds the input of a unit. transform: builds its pure transform.
    permissions: least privilege for it.
    layout, detect: for types read from S3: settings → how objects are cut; whether an object (key, first
        decoded bytes) is one.
    """

    name: str
    service_key: str
    source: Callable[[ConfiguredService, RunContext], Source]
    transform: Callable[[ConfiguredService], Transform]
    permissions: tuple[Permission, ...]
    layout: Callable[[Any], Layout] | None = None
    detect: Callable[[str, bytes], bool] | None = None
