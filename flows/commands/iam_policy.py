"""`python -m flows policy`: the least that IAM must allow for this configuration, identity by identity.

What each service needs stands in the catalogue (`Service.calls`); here the resources are written out
as narrowly as the configuration allows. What it does not tell (buckets, KMS keys, the account's number when
there is no role) may be given as options; without them the widest resource that fits stands there.

    credentials                 who                      may
    keys or none                the key's user, machine  read
    + one role                  the key's user, machine  assume the role
                                the role                 read
    + both roles                the key's user, machine  assume base_assume_role
                                base_assume_role         assume target_assume_role
                                target_assume_role       read
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from flows.catalogue.calls import ANY_RESOURCE, LISTED_RESOURCE, OBJECT_RESOURCE, QUEUE_RESOURCE, ApiCall
from flows.catalogue.service import Unit, calls_of, identities_of
from flows.catalogue.services import units
from flows.commands import trust_policy
from flows.config.base import ObjectsSettings, ServiceSettings
from flows.config.load import Settings
from flows.journal.log import LOGS as LOGS_FOLDER
from flows.proof.digests import DIGESTS, LOGS
from sources.aws import partitions
from sources.aws.account import Account
from sources.aws.credentials import Credentials
from sources.organization.directory import Directory

ANY_ACCOUNT = "${ACCOUNT}"
"""Stands in an ARN for an account's number that the configuration does not tell."""

ANY_ORGANIZATION = "${ORGANIZATION}"
"""Stands for the id of an organization, o-…, that is not told."""

QUEUE_ATTRIBUTES = "sqs:GetQueueAttributes"


class Known(Struct, frozen=True):
    """What the user may add where the configuration does not say it.

    account: its number. buckets: name or name/prefix, of objects. keys: ARNs of KMS keys, of objects and
    queues. organization: its id. checks: allow what `python -m flows check` asks, and learning a queue's
    buckets, too. proves: allow what `prove` and `backfill` ask besides.
    """

    account: str = ""
    buckets: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    organization: str = ANY_ORGANIZATION
    checks: bool = True
    proves: bool = False


_NOTHING = Known()


class Statement(Struct, frozen=True):
    """Actions on resources. regions, bucket accounts, listed prefixes: the only ones where, () = any."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    regions: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def document(self, sid: str) -> dict[str, object]:
        """Return the statement as IAM writes it."""
        told = {"aws:RequestedRegion": self.regions, "s3:ResourceAccount": self.accounts}
        equals = {key: list(values) for key, values in told.items() if values}
        like = {"s3:prefix": list(self.prefixes)} if self.prefixes else {}
        conditions = {"StringEquals": equals, "StringLike": like}
        kept = {operator: about for operator, about in conditions.items() if about}
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
            **({"Condition": kept} if kept else {}),
        }


class Grant(Struct, frozen=True):
    """What one identity must be allowed. who: for people. account: its number, "" when not known.

    trust: of a role, the statement of its trust policy that lets in who comes before it.
    """

    input: str
    who: str
    account: str
    statements: tuple[Statement, ...]
    trust: trust_policy.Document | None = None

    @property
    def label(self) -> str:
        """Tells grants of a configuration apart."""
        return f"{self.input}: {self.who}"

    def document(self) -> dict[str, Any]:
        """Return the policy document; unknown accounts are still ANY_ACCOUNT."""
        made = [one.document(sid) for one, sid in zip(self.statements, self._sids(), strict=True)]
        return {"Version": "2012-10-17", "Statement": made}

    def _sids(self) -> Iterator[str]:
        seen: dict[str, int] = defaultdict(int)
        for statement in self.statements:
            name = "".join(part.capitalize() for part in statement.actions[0].split(":")[0].split("-"))
            if statement.actions == (QUEUE_ATTRIBUTES,):
                name = "CheckOnly"
            seen[name] += 1
            yield f"{name}{seen[name] if seen[name] > 1 else ''}"


class _Wanted(Struct):
    """Actions with their resources, regions, bucket owners and prefixes, gathered and then grouped."""

    resources: dict[tuple[str, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    regions: dict[tuple[str, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(
        self, action: str, resource: str, region: str = "", *, account: str = "", prefix: str = ""
    ) -> None:
        self.resources[action, account, prefix].add(resource)
        if region:
            self.regions[action, account, prefix].add(region)

    def statements(self) -> Iterator[Statement]:
        """Yield one statement for all actions of a service that have the same resources and regions."""
        groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for (action, account, prefix), resources in self.resources.items():
            alone = action if action == QUEUE_ATTRIBUTES else action.partition(":")[0]
            regions = tuple(sorted(self.regions[action, account, prefix]))
            only = ((account,) if account else (), (prefix,) if prefix else ())
            groups[alone, tuple(sorted(resources)), regions, *only].append(action)
        for (_, *about), actions in groups.items():
            yield Statement(tuple(actions), *about)


def grants(settings: Settings, known: Known = _NOTHING) -> list[Grant]:
    """Return what each identity of a configuration must be allowed, input by input."""
    running = units(settings)
    found: list[Grant] = []
    for asker in _askers(settings, running):
        journal = settings.journal.bucket if settings.journal else ""
        keeps = (settings.globals.quarantine, journal)
        first = running[0].account.key == asker.account.key
        found += _of_identity(asker, keeps if first else (), known)
    return found


class _Asker(Struct, frozen=True):
    """One identity of an input: its credentials, and the units that it reads the queues or the rest of."""

    account: Account
    credentials: Credentials
    units: tuple[Unit, ...]

    @property
    def begins(self) -> str:
        """For people: where its chain begins."""
        found = "the user of access_key" if self.credentials.access_key else "the identity of the machine"
        return self.named(found)

    def named(self, who: str) -> str:
        """Return a name for an identity of this chain that no other chain has."""
        return who if self.account.setting == "credentials" else f"{who} ({self.account.setting})"


def _askers(settings: Settings, running: Sequence[Unit]) -> Iterator[_Asker]:
    """Yield each identity that asks AWS, once."""
    units_of: dict[str, list[Unit]] = defaultdict(list)
    accounts: dict[str, Account] = {}
    for unit in running:
        for account in identities_of(unit):
            accounts[account.key] = account
            units_of[account.key].append(unit)
    for key, account in accounts.items():
        one = settings.inputs[account.name]
        own = one.credentials if account.setting == "credentials" else one.queue_credentials
        yield _Asker(account, own or Credentials(), tuple(units_of[key]))


def _of_identity(asker: _Asker, keeps: Sequence[str | None], known: Known) -> Iterator[Grant]:
    """Yield what an identity must be allowed. keeps: where it writes quarantine and journal, if it does."""
    name, who = asker.account.name, asker.begins
    account = "" if asker.account.hops else known.account
    before, trust = "", None
    for hop in asker.account.hops:
        yield Grant(name, who, account, (Statement(("sts:AssumeRole",), (hop.role,)),), trust)
        before = before or f"arn:{hop.partition}:iam::{known.account or ANY_ACCOUNT}:root"
        trust, before = trust_policy.trust(before, external=bool(hop.external_id)), hop.role
        who, account = asker.named(f"{hop.setting} {hop.role}"), hop.account
    wanted, everywhere = _Wanted(), _Wanted()
    for unit in asker.units:
        if unit.organization:
            _add_organization(wanted, everywhere, unit, unit.organization.directory)
            continue
        for call in calls_of(unit):
            asks = unit.queue_account if call.resource == QUEUE_RESOURCE else unit.account
            if asks.key == asker.account.key:
                _add(wanted, unit, call, account, known)
        if unit.service.layout and (known.proves or _watched(unit)):
            _add_proof(wanted, unit, asker, account, known)
    _add_kept(wanted, asker, keeps, known)
    for key in known.keys:
        wanted.add("kms:Decrypt", key)
    yield Grant(name, who, account, tuple(wanted.statements()), trust)
    whole = next((unit.organization for unit in asker.units if unit.organization), None)
    if whole:
        scope, own = whole.directory.scope, known.account or ANY_ACCOUNT
        principal = before or f"arn:{_partition(asker.units[0])}:iam::{own}:root"
        external = scope.external_id is not None
        within = trust_policy.trust_within(known.organization, principal, external=external)
        role = f"the role {scope.role} in each account"
        yield Grant(name, role, "", tuple(everywhere.statements()), within)


def _add_organization(wanted: _Wanted, everywhere: _Wanted, unit: Unit, directory: Directory) -> None:
    """Add what is asked of an organization by who lists it, and in each account."""
    scope, service = directory.scope, unit.service
    wanted.add("sts:AssumeRole", directory.role("*"))
    below = ("ListAccountsForParent", "ListOrganizationalUnitsForParent") if scope.selection.parents else ()
    delegated = ("ListDelegatedAdministrators",) if service.administered else ()
    for api in ("ListAccounts", *below, *delegated):
        wanted.add(f"organizations:{api}", ANY_RESOURCE)
    for action in ("account:ListRegions", "ec2:DescribeRegions"):
        everywhere.add(action, ANY_RESOURCE)
    if service.administered:
        everywhere.add(service.administered.action, ANY_RESOURCE)
    likely = unit.options.regions[0]
    for call in calls_of(unit):
        for resource in _narrowed(unit, call, likely, ANY_ACCOUNT):
            for region in scope.regions if resource == ANY_RESOURCE and scope.regions else ("",):
                everywhere.add(call.action, resource.replace(f":{likely}:", ":*:"), region)


def _add_kept(wanted: _Wanted, asker: _Asker, keeps: Sequence[str | None], known: Known) -> None:
    """Add what quarantine and journal in a bucket ask."""
    for number, kept in enumerate(keeps):
        if not (kept or "").startswith("s3://"):
            continue
        place = f"arn:{_partition(asker.units[0])}:s3:::{str(kept).removeprefix('s3://').rstrip('/')}"
        wanted.add("s3:PutObject", f"{place}/*")
        for key in known.keys:
            wanted.add("kms:GenerateDataKey", key)  # what S3 asks KMS for to write an object
        if number:
            arn, _, prefix = place.partition("/")
            wanted.add("s3:GetObject", f"{place}/*")
            wanted.add("s3:ListBucket", arn, prefix=f"{prefix}/*" if prefix else "")
            wanted.add("s3:DeleteObject", f"{place}/{LOGS_FOLDER}/*")


def _add(wanted: _Wanted, unit: Unit, call: ApiCall[ServiceSettings], account: str, known: Known) -> None:
    owner = account or ANY_ACCOUNT
    if call.resource == QUEUE_RESOURCE:
        for region, queue in unit.options.queues(unit.service.name):
            for action in _queue_actions(call.action, queue, known):
                wanted.add(action, queue_arn(region, queue, owner))
    elif call.resource == OBJECT_RESOURCE:
        for objects, owner_of in _objects(unit, known):
            wanted.add(call.action, f"arn:{_partition(unit)}:s3:::{objects}", account=owner_of)
    elif call.resource == LISTED_RESOURCE:
        if listing := unit.options.listing(unit.service.name):
            prefix = f"{listing.prefix}*" if listing.prefix else ""
            wanted.add(call.action, f"arn:{_partition(unit)}:s3:::{listing.bucket}", prefix=prefix)
    else:
        for region in unit.options.regions:
            for resource in _narrowed(unit, call, region, owner):
                wanted.add(call.action, resource, region if resource == ANY_RESOURCE else "")


def _watched(unit: Unit) -> bool:
    """Tell whether a unit's digests are verified as they come."""
    continuous = isinstance(unit.options, ObjectsSettings) and unit.options.prove == "continuous"
    return continuous and bool(unit.service.digests)


def _add_proof(wanted: _Wanted, unit: Unit, asker: _Asker, account: str, known: Known) -> None:
    """Add what a proof asks: the listing of buckets, how full queues are, the keys of signed digests."""
    if unit.account.key == asker.account.key:
        for objects, owner in _objects(unit, known):
            bucket = objects.partition("/")[0]
            wanted.add("s3:ListBucket", f"arn:{_partition(unit)}:s3:::{bucket}", account=owner)
            if unit.service.digests and LOGS in objects:
                beside = objects.replace(LOGS, DIGESTS)
                wanted.add("s3:GetObject", f"arn:{_partition(unit)}:s3:::{beside}", account=owner)
        if unit.service.digests:
            wanted.add(unit.service.digests, ANY_RESOURCE)
    if unit.queue_account.key == asker.account.key:
        for region, queue in unit.options.queues(unit.service.name):
            wanted.add(QUEUE_ATTRIBUTES, queue_arn(region, queue, account or ANY_ACCOUNT))


def _objects(unit: Unit, known: Known) -> Iterator[tuple[str, str]]:
    """Yield the objects that a unit reads, and the account of their bucket, "" = any."""
    if known.buckets:
        yield from ((f"{bucket.rstrip('/')}/*", "") for bucket in known.buckets)
        return
    if listing := unit.options.listing(unit.service.name):
        yield f"{listing.bucket}/{listing.prefix}*", ""
        return
    own = unit.options.buckets if isinstance(unit.options, ObjectsSettings) else ()
    yield from ((f"{one.name}/{one.prefix}*", one.account) for one in own)
    if not own:
        yield "*/*", ""


def _queue_actions(action: str, queue: str, known: Known) -> Iterator[str]:
    """Yield what is asked of a queue: one that is given by its URL need not be looked up."""
    if action != "sqs:GetQueueUrl" or "://" not in queue:
        yield action
    if known.checks:
        yield QUEUE_ATTRIBUTES


def _narrowed(unit: Unit, call: ApiCall[ServiceSettings], region: str, owner: str) -> Iterable[str]:
    named = (call.resource,) if isinstance(call.resource, str) else call.resource(unit.options, region)
    prefix = f"arn:{partitions.name_of(region)}:{call.action.partition(':')[0]}:{region}:{owner}"
    whole = (ANY_RESOURCE, "arn:")
    return [one if one.startswith(whole) else f"{prefix}:{one}" for one in named]


def queue_arn(region: str, queue: str, owner: str) -> str:
    """Return the ARN of a queue; a URL names its owner."""
    short = queue
    if "://" in queue:
        told, _, short = urlsplit(queue).path.strip("/").rpartition("/")
        owner = told or owner
    return f"arn:{partitions.name_of(region)}:sqs:{region}:{owner}:{short}"


def _partition(unit: Unit) -> str:
    return partitions.name_of(unit.regions[0])
