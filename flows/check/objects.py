"""Checks of buckets, as far as anything can be proven without listing them and without a notice.

A queue that S3 sends to names the bucket in its policy (`aws:SourceArn`), a service may in `buckets`, and the
user may name objects (`--object s3://bucket/key`). Where neither of the first two does, any bucket is read
that a message names: that is told.

region        an unsigned HeadBucket: S3 tells any bucket's region to anybody, with or without permission
GetObject     of a key that surely does not exist: S3 answers "no such key", or "not authorized to list",
              only to those who may read it. "not authorized to GetObject" may also mean a policy narrowed to
              a prefix; a bare "Access Denied", as from other accounts, means nothing: both are said
a version     likewise, with the version id "null": needed where the bucket keeps versions, and told as a
              warning, since current versions are read without it
KMS           shows only with an object that exists: one byte of each `--object` is read
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import disable_signing
from msgspec import Struct
from msgspec.structs import replace

from flows.catalogue.build import reads_objects
from flows.catalogue.service import Unit, queued
from flows.check.finding import CheckContext, Finding, Level, denied, fail, of_error, ok, spread, warn
from flows.check.identities import arn, known_accounts
from flows.check.queues import attributes, wanted
from flows.check.settings import queues_of
from flows.config.types import BucketSetting
from sources.aws import partitions
from sources.aws.account import Account
from sources.errors import Denied, Missing, ObjectGone, SourceError, translate
from sources.objects.body import OBJECT_ACTION, VERSION_ACTION
from sources.queues.bucket_trust import told_by_policy

ABSENT = "devo-aws-collector-check/there-is-no-such-object"
_BUCKET = re.compile(r"arn:[\w-]+:s3:[^:]*:[^:]*:([a-z0-9.-]+)")
_REGION_HEADER = "x-amz-bucket-region"


class ObjectLocation(Struct, frozen=True):
    """A bucket, who reads it, and the region of the queue that announces its objects."""

    account: Account
    region: str
    bucket: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"bucket {self.bucket} ({self.account.where})"

    @property
    def objects(self) -> str:
        """The ARN of all objects of the bucket."""
        return f"arn:{partitions.name_of(self.region)}:s3:::{self.bucket}/*"


def buckets(context: CheckContext) -> Iterator[Finding]:
    """Look at the buckets that queues name in their policies."""
    readers = {account.key for account in known_accounts(context)}
    places = [
        ObjectLocation(queue.reader, queue.region, bucket)
        for queue in wanted(context)
        if queue.reader.key in readers
        for bucket in named(attributes(context, queue).get("Policy", ""))
    ] + [
        ObjectLocation(unit.account, region, one.name)
        for unit, region, _ in queues_of(context)
        for one in _configured(unit)
        if unit.account.key in readers and not set(one.name) & set("*?")
    ]
    yield from spread(lambda place: _bucket(context, place), dict.fromkeys(places))
    yield from _open(context)
    yield from _feeds_itself(context, places)
    unseen = any(
        unit.service.layout and queued(unit) for unit in context.units if unit.account.key in readers
    )
    if unseen and not places and not context.objects:
        yield warn(
            "bucket",
            "s3:GetObject is not proven: no queue's policy names its bucket",
            "buckets",
            "name an object that should be readable: --object s3://bucket/key",
        )


def _configured(unit: Unit) -> tuple[BucketSetting, ...]:
    return unit.options.buckets if reads_objects(unit) else ()


def _open(context: CheckContext) -> Iterator[Finding]:
    """Tell of queues for which nothing says which buckets their messages may name."""
    looked_at = {(queue.account.key, queue.region, queue.name): queue for queue in wanted(context)}
    for unit, region, name in queues_of(context):
        queue = looked_at.get((unit.queue_account.key, region, name))
        if queue is None or not unit.service.layout or _configured(unit):
            continue
        if told_by_policy(attributes(context, queue).get("Policy", "")) is None:
            yield warn(
                "buckets_open",
                "objects of any bucket that a message names are read: neither buckets nor its policy tells",
                queue.where,
                f"name them in services.{unit.service_key}: buckets: [NAME, NAME/PREFIX]",
            )


def _feeds_itself(context: CheckContext, places: Iterable[ObjectLocation]) -> Iterator[Finding]:
    """Tell of quarantine or journal in a bucket whose new objects are announced to the collector itself."""
    settings = context.settings
    own = {
        "quarantine": str(settings.globals.quarantine or ""),
        "journal": settings.journal.bucket if settings.journal else "",
    }
    found = dict.fromkeys(places)
    hint = "put it into another bucket, or announce other prefixes; what it holds is left out until then"
    for what, kept in own.items():
        bucket = kept.removeprefix("s3://").partition("/")[0] if kept.startswith("s3://") else ""
        for place in (one for one in found if one.bucket == bucket):
            yield warn(
                f"{what}_announced",
                f"{what} ({kept}) is in a bucket whose new objects are collected",
                place.where,
                hint,
            )


def named(policy: str) -> list[str]:
    """Return the buckets that a queue's policy lets send to it; none when it names none."""
    try:
        statements = json.loads(policy or "{}").get("Statement", [])
    except ValueError:
        return []
    listed = [statements] if isinstance(statements, dict) else statements
    told = json.dumps([one.get("Condition") for one in listed])
    found = (match[1] for match in _BUCKET.finditer(told))
    return sorted(dict.fromkeys(found))


def _bucket(context: CheckContext, place: ObjectLocation) -> Iterator[Finding]:
    client = place.account.client("s3", place.region)
    yield from _region(client, place)
    found = _read(_absent(client, place, OBJECT_ACTION), place, arn(context, place.account))
    yield found
    if found.level is Level.OK:
        refusal = _absent(client, place, VERSION_ACTION, VersionId="null")
        yield _versions(refusal, place, arn(context, place.account))


def _absent(client: Any, place: ObjectLocation, action: str, **more: str) -> SourceError:
    """Return what S3 answers to who asks for an object that is not there."""
    refused = one_byte(client, place.bucket, ABSENT, place.where, action, **more)
    return refused or ObjectGone(
        "there is such an object, after all", place.where, "nothing needs to be done"
    )


def one_byte(
    client: Any, bucket: str, key: str, where: str, action: str = OBJECT_ACTION, **more: str
) -> SourceError | None:
    """Read a byte of an object; return why it could not be had, None = it was."""
    try:
        client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0", **more)["Body"].close()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the check finds
        return translate(error, where, action)
    return None


def _versions(refusal: SourceError, place: ObjectLocation, who: str) -> Finding:
    if type(refusal) is Denied and VERSION_ACTION in refusal.what:
        found = denied(refusal, VERSION_ACTION, who, place.objects)
        hint = f"{found.hint}; without it a version is read only while it is the current one"
        return replace(found, level=Level.WARN, code="bucket_versions", hint=hint)
    if isinstance(refusal, Denied):
        what = f"whether {VERSION_ACTION} is allowed is not told ({refusal.what})"
        return warn("bucket_versions", what, place.where, "it is needed where the bucket keeps versions")
    return ok("bucket_versions", f"{VERSION_ACTION} is allowed", place.where)


def _region(client: Any, place: ObjectLocation) -> Iterator[Finding]:
    client.meta.events.register("choose-signer.s3.HeadBucket", disable_signing, unique_id="check-unsigned")
    try:
        reply: Mapping[str, Any] = client.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        reply = error.response
    except (BotoCoreError, SourceError):  # whatever it is, the next question meets it and tells it
        return
    region = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(_REGION_HEADER, "")
    if region and region != place.region:
        yield warn(
            "bucket_region",
            f"the bucket is in {region}, the queue that announces its objects in {place.region}",
            place.where,
            f"it is read where it is, but AWS charges each byte between regions: collect it in {region}",
        )


def _read(error: SourceError, place: ObjectLocation, who: str) -> Finding:
    if isinstance(error, ObjectGone):
        return ok("bucket", "s3:GetObject is allowed", place.where)
    if isinstance(error, Missing):
        return of_error("bucket_missing", error)
    if not isinstance(error, Denied):
        return of_error("bucket", error)
    if "s3:GetObject" not in error.what:
        return warn(
            "bucket",
            f"whether s3:GetObject is allowed is not told ({error.what})",
            place.where,
            "name an object that should be readable: --object s3://bucket/key",
        )
    found = denied(error, "s3:GetObject", who, place.objects)
    hint = f"{found.hint}; where it is allowed for a prefix only, prove that by --object s3://bucket/key"
    return replace(found, hint=hint)


def objects(context: CheckContext) -> Iterator[Finding]:
    """Read one byte of each object that the user names."""
    return spread(lambda uri: _object(context, uri), context.objects)


def _object(context: CheckContext, uri: str) -> Iterator[Finding]:
    parts = urlsplit(uri)
    key = parts.path.removeprefix("/")
    if parts.scheme != "s3" or not parts.netloc or not key:
        yield fail("object", "no object's name", uri, "write s3://bucket/key")
        return
    refusals: list[Finding] = []
    for account in known_accounts(context):  # the configuration does not tell whose bucket it is
        client, who = account.client("s3", ""), arn(context, account)
        refused = one_byte(client, parts.netloc, key, f"{uri} ({account.where})")
        if refused is None:
            yield ok("object", f"readable, KMS included, as {who}", uri)
            return
        partition = partitions.name_of(client.meta.region_name)
        refusals.append(_refused(refused, who, f"arn:{partition}:s3:::{parts.netloc}/{key}"))
    yield from refusals


def _refused(error: SourceError, who: str, resource: str) -> Finding:
    if isinstance(error, ObjectGone):
        hint = "name one that exists; AWS says the same of some that may not be read"
        return fail("object", "there is no such object", error.where, hint)
    if isinstance(error, Denied):
        found = denied(error, "s3:GetObject", who, resource)
        also = "" if "arn:" in error.what else "; see the bucket's policy and its KMS key, too"
        return replace(found, hint=f"{found.hint}{also}")
    return of_error("object", error)
