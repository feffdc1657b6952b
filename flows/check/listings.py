"""Checks of buckets that are listed (`s3_listing`): one page of their listing, and a byte of an object."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from flows.catalogue.build import bucket_listing, reads_objects
from flows.check.finding import CheckContext, Finding, ok, refusal, spread, warn
from flows.check.identities import arn, known_accounts
from flows.check.objects import ABSENT, one_byte
from flows.check.settings import place_of
from sources.aws import partitions
from sources.aws.account import Account
from sources.errors import ObjectGone, translate
from sources.listed.listed_queue import LIST_ACTION, BucketListing
from sources.listed.listing import folder_stretch
from sources.objects.body import OBJECT_ACTION


class _Listed(Struct, frozen=True):
    """A listing, who makes it, and where in the configuration it stands."""

    account: Account
    listing: BucketListing
    place: str

    def resource(self, objects: str = "") -> str:
        """Return the ARN of the bucket, or of objects in it."""
        bucket = self.listing.bucket
        return (
            f"arn:{partitions.name_of(self.listing.region)}:s3:::{bucket}{f'/{objects}' if objects else ''}"
        )


def listings(context: CheckContext) -> Iterator[Finding]:
    """List one page of each bucket that is listed."""
    known = {account.key for account in known_accounts(context)}
    found = [
        _Listed(unit.account, listing, place_of(unit))
        for unit in context.units
        if reads_objects(unit) and unit.account.key in known and (listing := bucket_listing(unit))
    ]
    return spread(lambda one: _listing(context, one), found)


def _listing(context: CheckContext, one: _Listed) -> Iterator[Finding]:
    listing, who = one.listing, arn(context, one.account)
    try:
        client = one.account.client("s3", listing.region)
        paid = {"RequestPayer": "requester"} if listing.requester_pays else {}
        page = client.list_objects_v2(Bucket=listing.bucket, Prefix=listing.prefix, Delimiter="/", **paid)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the check finds
        ours = translate(error, listing.where, LIST_ACTION)
        resource = f"{one.resource()} for s3:prefix {listing.prefix}*"
        yield refusal(ours, "listing", LIST_ACTION, who, resource)
        return
    yield from _page(one, page)
    there = (entry["Key"] for entry in page.get("Contents", ()) if entry["Size"])
    yield _readable(one, client, next(there, f"{listing.prefix}{ABSENT}"), who)


def _page(one: _Listed, page: dict[str, Any]) -> Iterator[Finding]:
    listing = one.listing
    folders, objects = page.get("CommonPrefixes", []), page.get("Contents", [])
    if not folders and not objects:
        hint = "correct s3_listing; a prefix that is a folder ends with /"
        yield warn("listing", "nothing is there", listing.where, hint)
        return
    dated = sum(folder_stretch(folder["Prefix"]) is not None for folder in folders)
    more = "+" if page.get("IsTruncated") else ""
    told = f"{len(objects)}{more} objects and {len(folders)}{more} folders, {dated} of them of dates, "
    yield ok("listing", f"{told}are on the first page", listing.where)
    if more and not dated:
        yield warn(
            "listing_wide",
            "keys lie in no folders of dates here: each listing asks for all of them, a thousand a request",
            one.place,
            "see python -m flows plan --listed-folders; narrow the prefix, or raise every_seconds",
        )


def _readable(one: _Listed, client: Any, key: str, who: str) -> Finding:
    where = f"s3://{one.listing.bucket}/{key} ({one.account.where})"
    refused = one_byte(client, one.listing.bucket, key, where)
    if refused is None:
        return ok("listing_object", f"{OBJECT_ACTION} is allowed, KMS included, as {who}", where)
    if isinstance(refused, ObjectGone):
        return ok("listing_object", f"{OBJECT_ACTION} is allowed", one.listing.where)
    return refusal(refused, "listing_object", OBJECT_ACTION, who, one.resource(f"{one.listing.prefix}*"))
