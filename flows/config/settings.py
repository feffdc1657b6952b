"""Settings of a configuration as a whole: globals, inputs, and the JSON Schema of all of it.

globals     Globals
inputs      name → Input (id, credentials, …) with services: name → the catalogue's models
outputs     name → sinks/settings.py
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.json_schema import models_json_schema

from flows.catalogue.services import ANY_NAME, SETTINGS
from flows.config.base import ServiceSettings
from flows.config.model_tree import models_below
from flows.config.objects import SqsInput
from flows.config.organization import OrganizationSettings
from flows.config.schema import widen
from flows.config.types import BudgetSetting, Model, OneOrMany
from sinks.settings import Outputs
from sources.aws.credentials import Credentials
from transforms.setting import SettingsModel, setting, without_effect
from transforms.tags import CloudTrailTables

_MEBIBYTE = 1 << 20
_WITHOUT_CONNECTION = "devo_http, console and file"


class PersistenceConfig(Model):
    """Where state is kept."""

    model_config = ConfigDict(extra="allow")

    directory_name: str = setting("state", example="state", min_length=1)
    """Recovery directory, made when missing; a relative name lies beside the configuration, or beside its
    folder when that is named config"""


class Persistence(Model):
    """How state survives a restart."""

    type: Literal["filesystem", "redis", "memory"] = setting("filesystem", example="filesystem")
    """filesystem: in the recovery directory. redis: the same, there is no other store. memory: nowhere;
    queues lose nothing by it, APIs begin anew at each start"""
    config: PersistenceConfig = setting(
        example={"directory_name": "state"}, default_factory=PersistenceConfig
    )
    """Where"""


class JournalSettings(Model):
    """What was delivered, a row for each object, message and API window, before it is deleted."""

    folder: str = setting("journal", example="/var/lib/collector/journal", ours=True, min_length=1)
    """Where; a relative name lies in the recovery directory. s3://bucket/prefix: there, before a message is
    deleted, for pods that lose their disks. off: nowhere"""
    keep_days: int = setting(400, example=400, unit="days", ours=True, ge=1)
    """Days after which rows are removed; of a bucket its lifecycle rules remove them"""


_TABLE = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class CloudTrailTablesSettings(Model):
    """Tables below cloud.aws.cloudtrail that Devo has besides those that it documents."""

    add: OneOrMany[_TABLE] = setting((), example=["bedrock", "quicksight"], ours=True)
    """Names of tables: events go there whose eventSource is so called, with _ for -"""
    map: dict[str, _TABLE] = setting(
        example={"sso.amazonaws.com": "identitystore"}, ours=True, default_factory=dict
    )
    """eventSource, or its name up to the first dot → table, where that is called otherwise"""

    @property
    def tables(self) -> CloudTrailTables:
        """All tables that there are."""
        return CloudTrailTables(self.add, self.map)


class TablesSettings(Model):
    """Tables that Devo has besides those that it documents."""

    cloudtrail: CloudTrailTablesSettings = setting(
        example={"add": ["bedrock"]}, ours=True, default_factory=CloudTrailTablesSettings
    )
    """Below cloud.aws.cloudtrail"""


class Globals(Model):
    """What concerns the whole collector."""

    debug: bool = setting(default=False, example=True)
    """Log what is done in detail"""
    id: str | None = setting(None, example="12345")
    """The collector's id, for people"""
    name: str = setting("collector", example="aws", min_length=1)
    """The collector's name, for people"""
    persistence: Persistence = setting(
        example={"type": "filesystem", "config": {"directory_name": "state"}}, default_factory=Persistence
    )
    """How state survives a restart"""
    quarantine: str | None = setting(None, example="s3://my-bucket/quarantine", ours=True, min_length=1)
    """Folder or s3://bucket/prefix for what cannot be read; by default quarantine in the recovery
    directory"""
    journal: bool | str | JournalSettings = setting(example="off", ours=True, default_factory=JournalSettings)
    """Folder or s3://bucket/prefix of the journal of what was delivered, or its settings; off (false) keeps
    none"""
    quarantine_max_bytes: int = setting(1 << 30, example=1_073_741_824, unit="bytes", ours=True, ge=1 << 20)
    """What a quarantine folder may take on disk; when it is full, messages of what cannot be read stay in
    their queues"""
    spool_max_bytes: int = setting(4 << 30, example=4_294_967_296, unit="bytes", ours=True, ge=1 << 20)
    """What Parquet and zip objects may take in the temporary folder ($TMPDIR), all that a process reads at
    a time; an object without room is tried again later"""
    tables: TablesSettings = setting(
        example={"cloudtrail": {"add": ["bedrock"]}}, ours=True, default_factory=TablesSettings
    )
    """Tables that Devo has added since. What has none goes to events, and is counted by its eventSource"""
    status: str | None = setting(None, example="127.0.0.1:3030", ours=True, pattern=r"^\S*\d$")
    """Address and port of the status page, /healthz, /readyz and /metrics; a port alone means loopback.
    $COLLECTOR_STATUS wins over it. By default there is none"""
    collector_messages: Literal["info", "warning", "error"] | None = setting(
        None, example="warning", ours=True
    )
    """Send the collector's own messages, of this level and above, to Devo's table devo.collectors.out, 60
    a minute at most, none about delivery; by default the log alone has them"""
    queue_max_size_in_mb: float | None = setting(None, example=48, unit="MiB", gt=0)
    """Most memory that each service fills before its outputs have taken it, and that each output holds
    without a receipt; a full one takes its receipt at once"""
    sender_concurrent_connections: int | None = setting(
        None,
        example=2,
        description=f"As concurrent_connections of every output but {_WITHOUT_CONNECTION}; wins over it",
        ge=1,
    )
    devo_sender_threshold_for_using_gzip_in_transport_layer: float | None = setting(
        None,
        example=1.1,
        unit="part of the queue",
        description="As threshold_for_using_gzip_in_transport_layer of every output but "
        f"{_WITHOUT_CONNECTION}; wins over it. "
        "Below 0 always, 0 to 1 when the queue is so full, above 1 never",
    )
    devo_sender_compression_level: int | None = setting(
        None,
        example=6,
        description=f"As compression_level of every output but {_WITHOUT_CONNECTION}; wins over it",
    )
    devo_sender_compression_buffer_in_bytes: int | None = without_effect(51200, "blocks are compressed whole")
    queue_max_size_in_messages: int | None = without_effect(1000, "memory is bounded in bytes")
    queue_max_elapsed_time_in_sec: float | None = without_effect(60)
    queue_wrap_max_size_in_messages: int | None = without_effect(100)
    queue_generate_metrics: bool | None = without_effect(example=False, why="metrics are always there")
    balanced_output: bool | None = without_effect(example=False, why="every output gets every event")
    multiprocessing: bool | None = without_effect(example=False, why="use run --processes N")
    max_consumers_for_multiprocessing: int | None = without_effect(2)
    max_consumers_for_multithreading: int | None = without_effect(500)
    sender_stats_period_in_sec: float | None = without_effect(300, "metrics are always there")
    sender_activate_final_queue: bool | None = without_effect(example=False)
    generate_collector_details: bool | None = without_effect(example=False)

    @property
    def prefetch_bytes(self) -> int | None:
        """`queue_max_size_in_mb` in bytes, None when not given."""
        return int(self.queue_max_size_in_mb * _MEBIBYTE) if self.queue_max_size_in_mb else None


FROM_GLOBALS: Mapping[str, str] = {
    "sender_concurrent_connections": "concurrent_connections",
    "devo_sender_threshold_for_using_gzip_in_transport_layer": "threshold_for_using_gzip_in_transport_layer",
    "devo_sender_compression_level": "compression_level",
}
"""Key of `globals` → key of each output's config that it sets, as Devo's collector does."""


class Input(SqsInput):
    """One AWS account to collect from, or all of an organization."""

    id: str = setting(example="10001", min_length=1, pattern=r"^[A-Za-z0-9_-]+$")
    """Part of the state's identity: another id begins anew"""
    enabled: bool = setting(default=True, example=False)
    """false: keep the settings, collect nothing"""
    requests_per_second: float | None = setting(None, example=5, unit="requests/s", gt=0)
    """As requests_per_second of its services that give none"""
    budget: BudgetSetting | None = setting(
        None, example={"usd_per_month": 50, "on_exceed": "slow"}, ours=True
    )
    """What its calls of AWS may cost, of all its services together"""
    environment: str = setting("", example="production")
    """Put into JSON events as @devo_environment"""
    credentials: Credentials = setting(
        example={"access_key": "${AWS_KEY}", "access_secret": "${AWS_SECRET}"}, default_factory=Credentials
    )
    """Who the collector is in AWS"""
    queue_credentials: Credentials | None = setting(
        None, example={"base_assume_role": "arn:aws:iam::123456789012:role/queues"}
    )
    """Who reads the queues when that is another than credentials, which then read the objects and ask the
    APIs: a vendor's keys for its bucket beside a queue of one's own"""
    organization: OrganizationSettings | None = setting(
        None, example={"role_name": "devo-aws-collector", "include": ["ou-ab12-workload1"]}, ours=True
    )
    """Services that ask an API read all accounts of the organization that credentials list"""
    services: dict[str, Any] = setting(example={min(SETTINGS): {}})
    """What to collect"""
    autoconfig: dict[str, Any] | None = without_effect({"enabled": False})
    persistence: dict[str, Any] | None = without_effect({}, "globals.persistence counts")

    @field_validator("services", mode="after")
    @classmethod
    def _has_services(cls, value: dict[str, object]) -> dict[str, object]:
        if not value:
            raise ValueError(f"is empty: name a service, such as {min(SETTINGS)}")
        return value


class _File(SettingsModel):
    """A configuration, for its JSON Schema."""

    globals: Globals = setting(default_factory=Globals)
    """What concerns the whole collector"""
    global_overrides: Globals = setting(default_factory=Globals)
    """Another spelling of globals"""
    inputs: dict[str, Input] = setting()
    """Accounts to collect from"""
    outputs: Outputs = setting(default_factory=dict)
    """Where events go; by default the console"""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration, for editors and for the reference page."""
    any_name = [one.settings for one in ANY_NAME]
    models: list[type[BaseModel]] = [_File, *any_name, *SETTINGS.values()]
    wanted: list[tuple[Any, Literal["validation", "serialization"]]] = [
        (model, "validation") for model in dict.fromkeys(models)
    ]
    places, schema = models_json_schema(wanted, title="devo-aws-collector configuration")
    definitions = schema["$defs"]
    widen(definitions, models_below([Globals, Input, Outputs, *models]), ServiceSettings)
    definitions["BucketSetting"] = {"anyOf": [definitions["BucketSetting"], {"type": "string"}]}
    place = {"type": "string", "pattern": r"^(s3://)?[A-Za-z0-9._-]{1,255}(/|$)"}
    definitions["ListingSetting"] = {"anyOf": [definitions["ListingSetting"], place]}
    definitions["Input"]["properties"]["services"] = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            name: _service(model, places[model, "validation"]) for name, model in SETTINGS.items()
        },
        "additionalProperties": {"anyOf": [places[model, "validation"] for model in any_name]},
    }
    root = definitions.pop("_File")
    root["patternProperties"] = {"^x-": {"description": "Holds what YAML aliases repeat"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, **schema}


def _service(model: type[BaseModel], place: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what stands under a service's key: nothing, where nothing is needed."""
    needed = any(field.is_required() for field in model.model_fields.values())
    return place if needed else {"anyOf": [place, {"type": "null"}, {"const": ""}]}
