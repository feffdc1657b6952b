"""What a service is: a value.

A `Service` says everything the collector knows about one kind of data: its settings, where it is read
from, what it asks of AWS and how often, what `check` may read of it, how its events look and how to recognise
its objects. `services.py` lists them; `plan`, `policy`, `check`, the reference, the JSON Schema and the
conformance suite read them, and nothing outside this package knows a service by its name.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Generic, TypeAlias, TypeVar

from bytewax.inputs import FixedPartitionedSource
from msgspec import Struct, field

from flows.catalogue.calls import (
    LISTED_RESOURCE,
    OBJECT_RESOURCE,
    QUEUE_RESOURCE,
    ApiCall,
    Options_co,
    OptionsT,
    PlanScope,
    in_trouble,
)
from flows.catalogue.probe import Probe
from flows.config.base import ObjectsSettings, ServiceSettings
from flows.config.errors import SettingsError
from sources.aws.account import Account
from sources.aws.spending.budget import FREE, BudgetGate
from sources.journal import Journal
from sources.objects.decoded_chunk import SpoolRoom
from sources.objects.object_ref import ObjectRef
from sources.organization.directory import Directory
from sources.organization.everywhere import Administered
from sources.queues.lease import LeaseOptions
from sources.queues.sqs import LOT
from transforms.block import Flowing, Transform
from transforms.columns import Columns
from transforms.layout import Layout
from transforms.tags import DEVO_TABLES, CloudTrailTables

PREFETCH_BYTES = 24 << 20
_ALL_PREFETCH_BYTES, _LEAST_PREFETCH_BYTES = 10 * PREFETCH_BYTES, 1 << 20


def prefetch_share(services: int) -> int:
    """Return how much a service may hold when it shares a process with others: ten hold it in full."""
    return max(min(PREFETCH_BYTES, _ALL_PREFETCH_BYTES // max(services, 1)), _LEAST_PREFETCH_BYTES)


class RunContext(Struct, frozen=True):
    """What a running process lends to its sources.

    drain: set when the process shall end. recovery: the recovery directory, None = cursors do not survive.
    prefetch_bytes: how much a service may hold in memory before the dataflow takes it. services: how many
        the process runs. journal: where what was settled is written down. full: tells whether quarantine
        takes no more. spool: what objects may take in the temporary folder. early_receipts: the dataflow's
        sinks answer a `ReceiptRequest`. watch: a unit of S3 objects → what is told of each of them, if any.
    budget: a unit → what lets its work wait.
    """

    drain: Event
    recovery: Path | None = None
    prefetch_bytes: int = PREFETCH_BYTES
    services: int = 1
    journal: Journal | None = None
    full: Callable[[], bool] = lambda: False
    spool: SpoolRoom = field(default_factory=SpoolRoom)
    early_receipts: bool = False
    watch: Callable[[Any], Callable[[ObjectRef], None] | None] = lambda _unit: None
    budget: Callable[[Any], BudgetGate] = lambda _unit: FREE


class OrganizationUnit(Struct, frozen=True):
    """An organization that a service reads. regions: None = all that are wanted of an account.

    named, named_as_tag: put the account's name into events, and into their tags.
    """

    directory: Directory
    regions: tuple[str, ...] | None = None
    named: bool = False
    named_as_tag: bool = False


class ConfiguredService(Struct, Generic[Options_co], frozen=True):
    """One service of one input: what one source step of the dataflow runs.

    service_key: its key under `services`. account: reads objects and asks APIs. options: its settings.
    environment: the input's, for `@devo_environment`. queue_identity: reads its queues, None = account does.
    kept: where quarantine and journal are, folders or `s3://` prefixes. tables: of CloudTrail.
    organization: whose accounts are read, None = the account's own.
    """

    input_id: str
    service_key: str
    account: Account
    service: "Service[Options_co]"
    options: Options_co
    environment: str = ""
    queue_identity: Account | None = None
    kept: tuple[str, ...] = ()
    tables: CloudTrailTables = DEVO_TABLES
    organization: OrganizationUnit | None = None

    @property
    def queue_account(self) -> Account:
        """Who reads the queues."""
        return self.queue_identity or self.account

    @property
    def step_id(self) -> str:
        """Name of the dataflow step: part of the state's identity, so it never changes for an input id."""
        return f"{self.input_id}-{self.service_key}-{self.service.name}".replace(".", "_")

    @property
    def name(self) -> str:
        """What `--service` calls it: the service, or the key under `services` where that may be any."""
        return self.service.name if self.service.service_key == self.service_key else self.service_key

    @property
    def regions(self: "ConfiguredService[ServiceSettings]") -> tuple[str, ...]:
        """Where it is collected from: a queue's URL alone tells it, too. Never empty."""
        return regions_of(self.service, self.options)

    def layout(self) -> Layout:
        """Return how the objects of this unit are laid out; only services read from S3 have a layout."""
        if self.service.layout is None:
            raise SettingsError("service has no objects", self.service.name, "name one that is read from S3")
        return self.service.layout(self.options)


Unit: TypeAlias = ConfiguredService[ServiceSettings]
"""Any service of an input, as those see it who know none by its name."""


UnitT = TypeVar("UnitT", bound=ConfiguredService[Any])


def chosen(able: Sequence[UnitT], service: str, nothing: str) -> UnitT:
    """Return the one unit that `--service` names, before it `INPUT.` where several inputs have it.

    nothing: what is wrong when none fits. Raises SettingsError.
    """
    full = {f"{unit.account.name}.{unit.name}": unit for unit in able}
    found = [unit for unit in able if service in {unit.service.name, unit.service_key}]
    if len(found) == 1 or service in full:
        return full.get(service) or found[0]
    fit = [name for name, unit in full.items() if unit in found] or [unit.name for unit in able]
    hint = f"name one of {', '.join(dict.fromkeys(fit)) or 'none of this configuration'}"
    raise SettingsError("several services fit" if found else nothing, f"--service {service}", hint)


def identities_of(unit: Unit) -> tuple[Account, ...]:
    """Return who a unit works as: its account, and who reads its queues when that is another."""
    queues = unit.options.queues(unit.service.name) if unit.queue_identity else ()
    return (unit.account, unit.queue_account) if queues else (unit.account,)


Source = FixedPartitionedSource[Flowing, Any]


def _whole(_options: object, _region: str) -> Sequence[str]:
    return ("",)


class Service(Struct, Generic[OptionsT], frozen=True):
    """One kind of data.

    name: unique, used in step ids, metrics and messages. service_key: key under `services`; "" = any.
    settings: the model of that key. source: builds the input of a unit. transform: builds its pure transform.
    calls: what it asks of AWS, and no more. probes: what `check` reads; parts: settings and region → what of
    the configuration each is read for. layout, detect: for types read from S3: settings → how objects are
    cut; whether an object (key, first decoded bytes) is one. replayed: settings for a replay without a
    configuration: the tags that name the table. placed: Devo's tables have columns for account and region,
    filled from the tag's last levels. is_text: events are no JSON, under these settings. columns: how a line
    of text is divided. event_name: the way to what names an event. about: one line for the reference.
    digests: its objects are named by digests that AWS signs; the action that asks for the public keys.
    administered: of an organization, accounts may leave it to another one.
    protected: audit events or findings, which no budget slows or stops.
    """

    name: str
    service_key: str
    settings: type[OptionsT]
    source: Callable[[ConfiguredService[OptionsT], RunContext], Source]
    transform: Callable[[ConfiguredService[OptionsT]], Transform]
    calls: tuple[ApiCall[OptionsT], ...]
    probes: tuple[Probe[OptionsT], ...] = ()
    parts: Callable[[OptionsT, str], Sequence[str]] = _whole
    layout: Callable[[OptionsT], Layout] | None = None
    detect: Callable[[str, bytes], bool] | None = None
    replayed: Mapping[str, object] = {}
    placed: bool = True
    is_text: Callable[[OptionsT], bool] = lambda _options: False
    columns: Columns | None = None
    event_name: tuple[str, ...] = ()
    about: str = ""
    digests: str = ""
    administered: Administered | None = None
    protected: bool = False

    @property
    def actions(self) -> tuple[str, ...]:
        """The IAM actions that it needs."""
        return tuple(call.action for call in self.calls)


Made: TypeAlias = Callable[[Any], Transform]
"""Makes the transform of a unit, whatever its settings are."""

AnyService: TypeAlias = Service[Any]
"""A service of whatever settings; its own value has them checked against its source and transform."""


def regions_of(service: AnyService, options: ServiceSettings) -> tuple[str, ...]:
    """Return the regions that a service is collected from: those of its queues, where it has any."""
    return tuple(region for region, _ in options.queues(service.name)) or options.regions


def _long_polls(at: PlanScope[object]) -> float:
    """Return how often a day an idle queue is asked, by all processes."""
    return at.guess.processes * 86_400 / LeaseOptions().wait_seconds


QUEUE: tuple[ApiCall[object], ...] = (
    ApiCall("sqs:GetQueueUrl", lambda at: 0 if "://" in at.queue else at.guess.processes, QUEUE_RESOURCE),
    ApiCall("sqs:ReceiveMessage", lambda at: _long_polls(at) + at.messages, QUEUE_RESOURCE),
    ApiCall(
        "sqs:DeleteMessage",
        lambda at: min(at.messages, _long_polls(at) + at.messages / LOT),
        QUEUE_RESOURCE,
    ),
    ApiCall("sqs:ChangeMessageVisibility", in_trouble, QUEUE_RESOURCE),
)


def _gets(at: PlanScope[object]) -> float:
    """Return how many objects are read a day: with `prove: continuous` each once more."""
    again = isinstance(at.options, ObjectsSettings) and at.options.prove == "continuous"
    return at.guess.objects * (2 if again else 1)


OBJECTS: tuple[ApiCall[object], ...] = (
    ApiCall("s3:GetObject", _gets, OBJECT_RESOURCE),
    ApiCall("s3:GetObjectVersion", in_trouble, OBJECT_RESOURCE),
)
"""What services fed by a queue need, and S3 services besides, and no more: AWS asks for the last one instead
of the first where a notice names a version."""

_PAGE = 1_000


def _listings(at: PlanScope[object]) -> float:
    """Return how many pages a day are listed: of each folder, and of the days whose keys may still appear."""
    listing = at.listing
    if listing is None:
        return 0
    days = 1 + listing.late_seconds / 86_400
    return 86_400 / listing.every_seconds * (at.guess.folders + at.guess.objects * days / _PAGE)


LISTED: tuple[ApiCall[object], ...] = (
    ApiCall("s3:ListBucket", _listings, LISTED_RESOURCE),
    *OBJECTS,
)
"""What an S3 service needs instead where no queue announces its objects."""


def calls_of(unit: Unit) -> Sequence[ApiCall[ServiceSettings]]:
    """Return what a unit asks of AWS."""
    return LISTED if unit.options.listing(unit.service.name) else unit.service.calls


def queued(unit: Unit) -> bool:
    """Tell whether a unit's events come by a queue."""
    return any(call.resource == QUEUE_RESOURCE for call in calls_of(unit))
