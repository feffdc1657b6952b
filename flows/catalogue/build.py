"""From a unit's settings to its source: one builder for each family, nothing service by service."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias, TypeGuard, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from flows.catalogue.calls import OptionsT, Polled
from flows.catalogue.service import ConfiguredService, OrganizationUnit, RunContext, Source, Unit
from flows.config.base import ObjectsSettings, QueuedSettings
from sources import telemetry
from sources.apis.cursor import CursorOptions, CursorSource
from sources.apis.poll import Poll
from sources.apis.window import to_ms
from sources.aws.account import Account
from sources.aws.limiter import Bucket, Chain, Limiters, own, shared
from sources.collected import CollectedIds
from sources.lanes import idle_seconds, poll_seconds
from sources.listed.listed_queue import BucketListing
from sources.listed.listed_source import ListedSource
from sources.listed.recheck import DailyRecheck
from sources.metric_scopes import Counted, ScopeOwner, place
from sources.objects.body import Body
from sources.objects.decode import DecodedChunk, DecodeLimits, read
from sources.objects.decoded_chunk import SpoolRoom
from sources.objects.object_ref import ObjectRef
from sources.objects.opening_record import opening_record
from sources.organization.everywhere import Everywhere, ServedApi
from sources.queues.bucket_trust import BucketRule, BucketTrust
from sources.queues.events import EventOpener, Split
from sources.queues.failure_policy import Rules
from sources.queues.lease import LeaseOptions, LeaseSource, MessageOpener, Queue
from sources.queues.s3 import Access, S3Opener

COLLECTED = "collected"
_POLL_THREADS, _MOST_POLL_THREADS = 8, 16
_ORGANIZATION_THREADS = 12
"""At 0.15 s a call 80 a second, of 57 polls that 17,000 targets have each second. More would not be faster: a
core makes some 500 calls a second, and whoever else needs Python's lock waits for all that compute."""

_LOOKS = 10
"""So often within a refresh is it seen to which accounts are to be listed anew: each at its own moment."""


_PolledT = TypeVar("_PolledT", bound=Polled)
_ApiOptionsT = TypeVar("_ApiOptionsT", bound=Struct)
Build: TypeAlias = Callable[[ConfiguredService[OptionsT], RunContext], Source]
PollOf: TypeAlias = Callable[[ConfiguredService[_PolledT], Limiters, Event], Poll]
Paced: TypeAlias = Callable[[ConfiguredService[Polled]], Limiters]


def objects(unit: ConfiguredService[ObjectsSettings], context: RunContext) -> Source:
    """Return the source of a service whose events are in S3 objects: announced by queues, or listed."""
    opener, rules = object_opener(unit, _queues(unit), context.full, context.spool)
    opener.journaled = context.journal is not None
    opener.noted = context.watch(unit)
    if context.recovery:
        opener.openings = opening_record(context.recovery / "openings")
    listing = bucket_listing(unit)
    if listing is None:
        return _leases(unit, context, opener, rules)
    options = _lease_options(unit, context, rules)
    if context.recovery is None and listing.start_ms is None:
        telemetry.cursors_not_durable(unit.service.name)
    return ListedSource(unit.service.name, listing, opener, options, context.drain)


def bucket_listing(unit: ConfiguredService[ObjectsSettings]) -> BucketListing | None:
    """Return the listing that a unit's objects are found by, None when queues announce them."""
    found = unit.options.listing(unit.service.name)
    if found is None:
        return None
    return BucketListing(
        unit.account,
        unit.options.regions[0],
        found.bucket,
        found.prefix,
        every_seconds=found.every_seconds,
        late_seconds=found.late_seconds,
        start_ms=start_ms(found.start_time),
        requester_pays=unit.options.requester_pays,
    )


def reads_objects(unit: Unit) -> TypeGuard[ConfiguredService[ObjectsSettings]]:
    """Tell whether a unit's events are in S3 objects."""
    return unit.service.layout is not None and isinstance(unit.options, ObjectsSettings)


def object_opener(
    unit: ConfiguredService[ObjectsSettings],
    queues: Sequence[Queue] = (),
    full: Callable[[], bool] = lambda: False,
    spool: SpoolRoom | None = None,
) -> tuple[S3Opener, Rules]:
    """Return what opens the objects of a unit, and the rules for those that cannot be had.

    queues: whose policies tell which buckets to read, where the configuration does not. full: tells whether
    quarantine takes no more. spool: of all services of the process.
    """
    options, layout = unit.options, unit.layout()
    sizes = DecodeLimits(
        options.max_object_bytes,
        options.max_inflation_ratio,
        options.max_event_bytes,
        options.max_spool_bytes,
        options.max_window_bytes,
        spool or SpoolRoom(),
        max_cpu_seconds=options.max_object_cpu_seconds,
    )

    def pieces(body: Body, ref: ObjectRef) -> Iterator[DecodedChunk]:
        return read(body, layout.of(ref.key), sizes, ref.key)

    rules = Rules(options.object_gone, options.unreadable, full)
    name = unit.service.name
    listing = options.listing(name)
    listed = [BucketRule(listing.bucket, listing.prefix)] if listing else []
    trust = BucketTrust(name, [one.rule for one in options.buckets] or listed, queues)
    access = Access(trust, options.requester_pays, unit.kept)
    return S3Opener(name, unit.account, pieces, options.left_out, rules, access), rules


def messages(split: Split) -> Build[QueuedSettings]:
    """Return the builder for services whose messages are the events; `split` takes them out of a body."""

    def build(unit: ConfiguredService[QueuedSettings], context: RunContext) -> Source:
        rules = Rules(unreadable=unit.options.unreadable, full=context.full)
        opener = EventOpener(unit.service.name, split, rules)
        return _leases(unit, context, opener, rules, fetchers=0)  # there is nothing to fetch

    return build


def _leases(
    unit: ConfiguredService[QueuedSettings],
    context: RunContext,
    opener: MessageOpener,
    rules: Rules,
    fetchers: int = LeaseOptions().fetchers,
) -> Source:
    options = replace(_lease_options(unit, context, rules), fetchers=fetchers)
    return LeaseSource(unit.service.name, _queues(unit), opener, options, context.drain)


def _lease_options(
    unit: ConfiguredService[QueuedSettings], context: RunContext, rules: Rules
) -> LeaseOptions:
    return LeaseOptions(
        owner=owner(unit),
        visibility_timeout_seconds=unit.options.visibility_timeout_seconds,
        prefetch_bytes=context.prefetch_bytes,
        idle_seconds=idle_seconds(context.services, least=0.1),
        wait_seconds=poll_seconds(context.services),
        rules=rules,
        journal=context.journal,
        early_receipts=context.early_receipts,
        budget=context.budget(unit),
    )


def _queues(unit: ConfiguredService[QueuedSettings]) -> list[Queue]:
    named = unit.options.queues(unit.service.name)
    return [Queue(unit.queue_account, region, queue) for region, queue in named]


def polled(poll_of: PollOf[_PolledT], paced: Paced) -> Build[_PolledT]:
    """Return the builder for services that ask an API.

    poll_of: makes their strategy. paced: how fast they may ask.
    """

    def build(unit: ConfiguredService[_PolledT], context: RunContext) -> Source:
        options = CursorOptions(
            owner=owner(unit),
            fingerprint=fingerprint(unit.options),
            durable=context.recovery is not None,
            threads=max(_POLL_THREADS, min(len(unit.options.regions), _MOST_POLL_THREADS)),
            prefetch_bytes=context.prefetch_bytes,
            idle_seconds=idle_seconds(context.services, least=0.2),
            journal=context.journal,
            budget=context.budget(unit),
        )
        poll = poll_of(unit, paced(unit), context.drain)
        if unit.organization:
            seconds = unit.organization.directory.scope.refresh_seconds / _LOOKS
            options = replace(options, threads=_ORGANIZATION_THREADS, discover_seconds=seconds)
            poll = everywhere(unit, unit.organization, poll_of, paced(unit), context.drain)
        if context.recovery:
            ids = CollectedIds(context.recovery / COLLECTED / unit.step_id)
            options = replace(options, collected=ids)
            poll = DailyRecheck(poll, ids) if unit.options.recheck == "daily" else poll
        return CursorSource(poll, options, context.drain)

    return build


def everywhere(
    unit: ConfiguredService[Any],
    whole: OrganizationUnit,
    poll_of: PollOf[Any],
    limiters: Limiters,
    drain: Event,
) -> Everywhere:
    """Return the strategy of a unit over all accounts of its organization."""
    options = unit.options

    def make(account: Account, regions: tuple[str, ...], beginning: datetime | None) -> Poll:
        wanted = tuple(one for one in regions if whole.regions is None or one in whole.regions)
        own = options.model_copy(update={"regions": wanted})
        own = own.beginning(beginning) if beginning else own
        return poll_of(replace(unit, account=account, options=own), limiters, drain)

    about = ServedApi(unit.service.name, options.request_period_in_seconds, unit.service.administered)
    return Everywhere(about, whole.directory, make, drain)


def collected_folder(state: Path, unit: Unit) -> Path:
    """Return where the ids of what a unit has collected are kept, beside its state."""
    return state / COLLECTED / unit.step_id


def as_configured(unit: ConfiguredService[Polled]) -> Limiters:
    """Return what the configuration allows, for each account, region and API."""
    bounds, of = limits(unit.options), partial(place, unit.service.name, owner(unit))
    return Limiters(
        lambda _account, region, _api: Chain([Counted(of(region)), *(Bucket(*bound) for bound in bounds)])
    )


def limits(service: Polled) -> tuple[tuple[float, float], ...]:
    """Return what bounds the requests of each API, region and account: (requests per second, burst)."""
    counted = [limit for limit in service.requests_limits if limit.number_of_requests >= 0]
    longer = [(limit.number_of_requests / limit.seconds, limit.number_of_requests) for limit in counted]
    return ((service.requests_per_second, 1), *longer) if service.requests_per_second else tuple(longer)


def within(rates: Mapping[str, float], *, fixed: bool = False) -> Paced:
    """Return what paces a unit: as configured, and within AWS's rates (see `allowed`).

    fixed: AWS raises them for nobody; else a `requests_per_second` of the configuration stands instead.
    """

    def paced(unit: ConfiguredService[Polled]) -> Limiters:
        configured = as_configured(unit)
        aws = shared(rates) if unit.organization is None else own(rates)
        if unit.options.requests_per_second and not fixed:
            return configured
        return Limiters(lambda *of: Chain([configured.of(*of), aws.of(*of)]))

    return paced


def owner(unit: ConfiguredService[object]) -> ScopeOwner:
    """Return whom a unit's figures are counted for."""
    return ScopeOwner(unit.account.name, unit.service_key)


def fingerprint(options: Polled) -> str:
    """Return what positions depend on: another start_time begins anew."""
    start = options.start_time
    return "" if start is None else str(start)


def api_options(kind: type[_ApiOptionsT], unit: ConfiguredService[Polled], **own: object) -> _ApiOptionsT:
    """Return the options of an API's strategy: what the settings have under the same names, and `own`."""
    options = unit.options
    known = {
        **dict(options),
        "start": start_ms(options.start_time),
        "period_seconds": options.request_period_in_seconds,
        "service": unit.service.name,
        **own,
    }
    return kind(**{name: known[name] for name in kind.__struct_fields__ if name in known})


def start_ms(moment: datetime | None) -> int | None:
    """Return a start time as the APIs count it, in epoch ms."""
    return None if moment is None else to_ms(moment)
