"""What the settings of several services have in common.

Service      every one
├── Polled   asks an API every so often (polled.py)
└── Queued   long-polls SQS; the messages are the events
    └── Objects   … or announce S3 objects
        └── Typed   whose keys tell the event type
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, model_validator

from flows.config.filters import FieldOperation, FileRule, FilterSettings
from flows.config.types import (
    MOST_LEVELS,
    BucketSetting,
    BudgetSetting,
    EventTypes,
    ListingSetting,
    Moment,
    OneOrMany,
    OneOrSeveral,
    Pattern,
    Region,
    RequestLimit,
    Tag,
    one_or_several,
)
from sources.aws.partitions import region_of_queue
from transforms.fields import KeyFields, key_fields
from transforms.setting import about, setting, without_effect


class ServiceSettings(FilterSettings):
    """What every service has."""

    enabled: bool = setting(default=True, example=False)
    """false: keep the settings, collect nothing"""
    types: Any = setting(())
    """Types of data; a service of one type needs no word"""
    regions: OneOrMany[Region] = setting((), example=["eu-west-1", "us-east-1"])
    """AWS regions, each with a state of its own; by default the one of $AWS_REGION"""
    tag: Tag | None = setting(None, example="my.app.aws.cloudtrail")
    """Devo tag instead of the service's own, with {event_type}, {account}, {region}"""
    tag_suffix: Literal["none", "account_region", "region_account"] = setting(
        "none", example="account_region", ours=True
    )
    """Levels to put after the tag"""
    expect_every_seconds: float | None = setting(None, example=86_400, unit="s", ours=True, ge=60)
    """Tell an account's region as silent when nothing came of it for so long; by default what was usual at
    that hour of the week decides"""
    budget: BudgetSetting | None = setting(
        None, example={"usd_per_month": 50, "on_exceed": "slow"}, ours=True
    )
    """What its calls of AWS may cost, of all its regions together"""
    devo_pulling_id: bool = setting(default=False, example=True, unit="epoch ms", ours=True)
    """Put the time of the pull into JSON events as @devo_pulling_id"""

    @model_validator(mode="after")
    def _tag_has_room(self) -> Self:
        added = 0 if self.tag_suffix == "none" else 2
        if self.tag and len(self.tag.split(".")) + added > MOST_LEVELS:
            raise ValueError("has a tag and a tag_suffix of more than 6 levels together: shorten the tag")
        return self

    def queues(self, kind: str) -> list[tuple[str, str]]:  # noqa: ARG002 - by type only where there are queues
        """Return (region, queue name or URL) of each queue of one type; [] if it needs none."""
        return []

    def listing(self, kind: str) -> ListingSetting | None:  # noqa: ARG002 - by type only where there are objects
        """Return the bucket that is listed for one type, None when none is."""
        return None

    def beginning(self, moment: datetime) -> Self:  # noqa: ARG002 - queues have no beginning
        """Return the settings with this start time, if the service can have one and none is given."""
        return self

    def _known_regions(self) -> tuple[str, ...]:
        if not self.regions:
            raise ValueError("has no regions: add regions: [eu-west-1], or set AWS_REGION")
        return self.regions


class OwnQueue(NamedTuple):
    """A type's own queue. key: of the configuration. name: its name or URL, None when not given."""

    key: str
    name: str | None


class QueuedSettings(ServiceSettings):
    """What every service fed by an SQS queue has."""

    request_period_in_seconds: float | None = without_effect(60, "queues are asked without pause")
    requests_per_second: float | None = without_effect(5, "queues are emptied at the outputs' speed")
    requests_limits: Annotated[tuple[RequestLimit, ...] | None, BeforeValidator(one_or_several)] = (
        without_effect([], "queues are emptied at the outputs' speed")
    )
    start_time: Moment | None = without_effect("2026-01-02T03:04:05Z", "a queue holds what is new")
    sqs_queue_name: str | None = setting(None, example="cloudtrail", ours=True, min_length=1)
    """Name or URL of the queue, in each region"""
    queue_name: str | None = setting(None, example="cloudtrail", ours=True, min_length=1)
    """The same, another spelling"""
    queue_url: str | None = setting(
        None,
        example="https://sqs.eu-west-1.amazonaws.com/123456789012/cloudtrail",
        ours=True,
        pattern=r"^https?://[^/]+/.+",
    )
    """URL of the queue; names account and region"""
    visibility_timeout_seconds: int = setting(120, example=120, unit="seconds", ours=True, ge=2, le=43_200)
    """A message comes again when no sign of life was given for so long; one is given at half time"""
    max_event_bytes: int = setting(1 << 20, example=1_048_576, unit="bytes", ours=True, ge=1024)
    """Larger events go to quarantine"""
    unreadable: Literal["quarantine", "keep"] = setting("quarantine", example="keep", ours=True)
    """What cannot be read: put it into quarantine, or keep it for the queue's redrive policy"""

    @property
    def own_queues(self) -> Mapping[str, OwnQueue]:
        """Type → its own queue, as the keys say that are declared for one (`About.queue_of`)."""
        fields = type(self).model_fields
        return {kind: OwnQueue(key, name) for key, name in self if (kind := about(fields[key]).queue_of)}

    @model_validator(mode="after")
    def _knows_its_queues(self) -> Self:
        for kind in self.types if self.enabled else ():
            if not self.queues(kind):
                self._known_regions()
        return self

    def queues(self, kind: str) -> list[tuple[str, str]]:
        """Return (region, queue name or URL) of each queue that one type is read from.

        Raises ValueError when the settings name none, or more than one.
        """
        name = self._queue(kind)
        if "://" not in name:
            return [(region, name) for region in self._known_regions()] if name else []
        region = region_of(name) or (self.regions[0] if len(self.regions) == 1 else "")
        if not region:
            raise ValueError(f"has a queue URL that tells no region ({name}): add its region to regions")
        return [(region, name)]

    def _queue(self, kind: str) -> str:
        """Return the name or URL of a type's queue: under its own key, or under a generic one."""
        queues = self.own_queues
        own = queues.get(kind)
        if own is None:
            return ""
        if own.name:
            return own.name
        found = self._generic_queue(f"has no queue for {kind}: add {own.key}, the queue's name or URL")
        for other in set(self.types) & set(queues) - {kind}:
            if not queues[other].name:
                raise ValueError(
                    f"has one queue for {kind} and {other}: add {own.key} and {queues[other].key}"
                )
        return found

    def _queues_named(self) -> dict[str, str]:
        """Return the generic keys that name a queue."""
        spelt = {
            "sqs_queue_name": self.sqs_queue_name,
            "queue_url": self.queue_url,
            "queue_name": self.queue_name,
        }
        return {key: name for key, name in spelt.items() if name}

    def _generic_queue(self, missing: str) -> str:
        """Return the one queue that any of the generic keys names. missing: what to say when none does."""
        given = self._queues_named()
        if not given:
            raise ValueError(missing)
        if len(given) > 1:
            first, second, *_ = given
            raise ValueError(f"names its queue twice: keep {first} or {second}")
        return next(iter(given.values()))


class ObjectsSettings(QueuedSettings):
    """What every service has whose events are in S3 objects that a queue announces."""

    s3_listing: ListingSetting | None = setting(
        None,
        example={"bucket": "cisco-managed-us-west-1", "prefix": "1234567_0a1b2c3d/", "every_seconds": 300},
        ours=True,
    )
    """Instead of a queue, for buckets that announce nothing (a vendor's): the bucket is listed every so
    often; s3://BUCKET/PREFIX/ alone is enough. regions names the bucket's"""
    s3_file_type_filter: Pattern | None = setting(None, example=r"\.json\.gz$")
    """Regex (RE2) searched in the object's key: others are settled, counted and not read; one that begins
    with (?!X) leaves out keys that begin with X"""
    file_field_definitions: dict[str, tuple[FieldOperation, ...]] = setting(
        example={"log_type": [{"operator": "split", "on": "/", "element": 0}]}, default_factory=dict
    )
    """Name → how its value is made of the object's key"""
    key_pattern: Pattern | None = setting(None, example="^(?P<log_type>[^/]+)/", ours=True)
    """Regex searched in the object's key, whose named groups are file fields too"""
    filename_filter_rules: tuple[tuple[FileRule, ...], ...] = setting(
        (), example=[[{"type": "match", "pattern": "CloudTrail-Digest"}]]
    )
    """Objects are not read whose key fulfils all conditions of one of the lists"""
    buckets: OneOrSeveral[BucketSetting] = setting(
        (), example=["my-trail", "central/AWSLogs/", {"name": "org-*", "account": "123456789012"}], ours=True
    )
    """Buckets to read objects from: NAME or NAME/PREFIX, * for what varies, or a mapping that may name the
    owner's account too. What messages name besides goes to quarantine unread. By default those that the
    queue's policy names (aws:SourceArn), where it can be read and lets nobody else send; else any"""
    requester_pays: bool = setting(default=False, example=True, ours=True)
    """true: agree to be charged by buckets whose requester pays"""
    object_gone: Literal["settle", "keep"] = setting("settle", example="keep", ours=True)
    """Object deleted before it was read: settle the message, or keep it for a redrive policy"""
    prove: Literal["on_demand", "continuous"] = setting("on_demand", example="continuous", ours=True)
    """continuous: verify CloudTrail's signed digests, and the log files they name, as they come (each log
    file is read once more); for CloudTrail in S3 only"""
    max_object_bytes: int = setting(64 << 30, example=68_719_476_736, unit="bytes", ours=True, ge=1 << 20)
    """An object that inflates beyond this goes to quarantine"""
    max_object_cpu_seconds: float = setting(600, example=3600, unit="seconds", ours=True, ge=1)
    """An object that takes more processor time to be read goes to quarantine, behind what was sent of it:
    whoever may write objects can make few bytes much work"""
    max_inflation_ratio: float = setting(500, example=500, ours=True, gt=1)
    """An object that has inflated to 64 MiB and to more than so many times its size is a bomb"""
    max_spool_bytes: int = setting(1 << 30, example=1_073_741_824, unit="bytes", ours=True, ge=1 << 20)
    """A Parquet or zip object of more stored bytes goes to quarantine: it waits as a whole in memory (to 8
    MiB) or in a temporary file"""
    max_window_bytes: int = setting(
        8 << 20, example=134_217_728, unit="bytes", ours=True, ge=1 << 10, le=1 << 31
    )
    """A zstd or xz object that needs a larger window, as zstd's `--long` makes and xz's `-9`, goes to
    quarantine: each object being read takes as much memory. RFC 8878 asks decoders for 8 MiB"""

    @model_validator(mode="after")
    def _is_announced_or_listed(self) -> Self:
        if self.s3_listing is None:
            return self
        own = {kind: one for kind, one in self.own_queues.items() if kind in self.types}
        named = [*self._queues_named(), *(one.key for one in own.values() if one.name)]
        if named:
            raise ValueError(f"has {named[0]} and s3_listing: keep one")
        if len(own) > 1:
            raise ValueError(f"has one s3_listing for {' and '.join(own)}: keep one type, or make two inputs")
        if self.enabled and len(self._known_regions()) > 1:
            raise ValueError("has several regions and s3_listing: keep the bucket's region")
        return self

    def listing(self, kind: str) -> ListingSetting | None:
        """Return what is listed for a type, None when queues announce it."""
        return self.s3_listing if kind in self.own_queues or not self.own_queues else None

    def beginning(self, moment: datetime) -> Self:
        """Return the settings with this start time of a listing, unless they give one."""
        if self.s3_listing is None or self.s3_listing.start_time:
            return self
        listing = self.s3_listing.model_copy(update={"start_time": moment})
        return self.model_copy(update={"s3_listing": listing})

    def _queue(self, kind: str) -> str:
        return "" if self.s3_listing else super()._queue(kind)

    @property
    def left_out(self) -> Callable[[str], str]:
        """Why an object's key is not to be read, "" = it is."""
        pattern, rules = self.s3_file_type_filter, self.filename_filter_rules

        def why(key: str) -> str:
            if pattern and not pattern.fits(key):
                return "key_filter"
            found = (at for at, one in enumerate(rules) if one and all(rule.fits(key) for rule in one))
            return next((f"filename_filter_rules[{at}]" for at in found), "")

        return why if pattern or rules else (lambda _key: "")

    @property
    def key_filter(self) -> Callable[[str], bool]:
        """Whether an object's key is to be read."""
        why = self.left_out
        return lambda key: not why(key)

    @property
    def file_names(self) -> AbstractSet[str]:
        """The names of values in objects' keys."""
        return {*self.file_field_definitions, *(self.key_pattern.groups if self.key_pattern else ())}

    @property
    def key_fields(self) -> KeyFields:
        """Takes the file fields out of an object's key."""
        definitions = {
            name: tuple(one.step for one in steps) for name, steps in self.file_field_definitions.items()
        }
        search = {"search": self.key_pattern.search} if self.key_pattern else {}
        return key_fields(definitions, **search)


class TypedSettings(ObjectsSettings):
    """What S3 services have whose event type follows from the key."""

    event_type_file_regex_patterns: EventTypes = setting(
        example={"flow": "/vpcflowlogs/"}, default_factory=dict
    )
    """Event type → regex searched in the object's key; the first that fits names the type"""

    def event_type(self, key: str) -> str:
        """Return the event type that the configuration gives to an object's key, "" for none."""
        found = (name for name, pattern in self.event_type_file_regex_patterns.items() if pattern.fits(key))
        return next(found, "")


def region_of(url: str) -> str:
    """Return the region in a queue's URL, "" if it has none (an emulator, a proxy)."""
    return region_of_queue(urlsplit(url).hostname or "")
