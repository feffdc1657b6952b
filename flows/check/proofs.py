"""Whether a journal in a bucket can be kept, and, with `--prove`, whether `flows prove` could look."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from flows.catalogue.build import reads_objects
from flows.catalogue.service import Unit
from flows.check.finding import CheckContext, Finding, fail, of_error, ok, refusal, spread, warn
from flows.check.identities import arn, known_accounts
from flows.check.settings import place_of
from flows.config.base import ObjectsSettings
from flows.journal.bucket import JournalBucket
from sources.errors import SourceError, translate

_LIST = "s3:ListBucket"


def journals(context: CheckContext) -> Iterator[Finding]:
    """Put, list, read and delete one empty object of a journal in a bucket: else nothing would be settled."""
    place = context.settings.journal
    if not context.units or place is None or not place.bucket:
        return
    account = context.units[0].account
    try:
        JournalBucket(place.bucket, partial(account.client, "s3", ""), place.folder).probe()
    except SourceError as error:
        yield of_error("journal", error)
    else:
        yield ok("journal", "it can be written and read", place.bucket)


def proofs(context: CheckContext) -> Iterator[Finding]:
    """List one key of each bucket that a service names, and one public key where its digests are signed."""
    able = [unit for unit in context.units if reads_objects(unit)]
    if not context.prove or not able:
        return
    if context.settings.journal is None:
        yield fail(
            "proof",
            "this configuration keeps no journal, so nothing can be proved",
            "globals.journal",
            "leave it out, or name a folder",
        )
    known = {account.key for account in known_accounts(context)}
    yield from spread(lambda unit: _unit(context, unit), [unit for unit in able if unit.account.key in known])


def _unit(context: CheckContext, unit: Unit) -> Iterator[Finding]:
    options = unit.options
    named = options.buckets if isinstance(options, ObjectsSettings) else ()
    places = [(one.name, one.prefix) for one in named if "*" not in one.name]
    if not places:
        yield warn("proof", "no bucket is named", place_of(unit), "name them in buckets, or by --location")
    region = unit.regions[0]
    for bucket, prefix in places:
        resource = f"arn:aws:s3:::{bucket}"
        asked = {"Bucket": bucket, "Prefix": prefix.partition("*")[0], "MaxKeys": 1}
        client = unit.account.client("s3", region)
        yield _asked(context, unit, _LIST, resource, partial(client.list_objects_v2, **asked))
    if action := unit.service.digests:
        client = unit.account.client(action.partition(":")[0], region)
        yield _asked(context, unit, action, "*", client.list_public_keys)


def _asked(context: CheckContext, unit: Unit, action: str, resource: str, ask: Callable[[], Any]) -> Finding:
    where = f"{resource} ({unit.account.where})"
    try:
        ask()
    except Exception as error:  # noqa: BLE001 - translated, and told
        ours = translate(error, where, action)
        return refusal(ours, "proof", action, arn(context, unit.account), resource)
    return ok("proof", f"allowed: {action}", where)
