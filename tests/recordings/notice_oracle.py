"""What a queue message announces, as AWS's documents describe it; shares nothing with the parser.

s3            Amazon S3 User Guide, "Event message structure": `key` is URL-encoded; an event's name begins
              with its type, `ObjectCreated:…` for new objects; `versionId` where versions are kept
sns           Amazon SNS Developer Guide, "HTTP/HTTPS notification JSON format": text in `Message`; a
              confirmation of a subscription carries none
eventbridge   Amazon S3 User Guide, "EventBridge event message structure": `key` as it is
others        a Lambda destination's record (AWS Lambda Developer Guide, "Invocation record") holds in
              `requestPayload` what a function was called with: no notice in any of those recorded
"""

import json
from typing import NamedTuple
from urllib.parse import unquote_plus

_CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")


class Told(NamedTuple):
    """objects: (bucket, key, version, etag, size, region). others: things without one. strange: not known."""

    objects: tuple[tuple, ...] = ()
    others: int = 0
    strange: bool = False


def told(body: str) -> Told:
    """Return what a body says."""
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    content = content if isinstance(content, dict) else {}
    if "TopicArn" in content:
        confirmed = content["Type"] in _CONFIRMATIONS
        return Told(others=1) if confirmed else told(content["Message"])
    if content.get("Event") == "s3:TestEvent":
        return Told(others=1)
    if content.get("source") == "aws.s3":
        return _of_event(content)
    found = [_of_record(one) for one in content.get("Records", ())] or [Told(strange=True)]
    return Told(
        tuple(one for each in found for one in each.objects),
        sum(each.others for each in found),
        any(each.strange for each in found),
    )


def _of_record(record: dict) -> Told:
    if record.get("eventName", "").partition(":")[0] != "ObjectCreated":
        return Told(others=1) if "s3" in record else Told(strange=True)
    try:
        bucket, one = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key = unquote_plus(one["key"])
    except (KeyError, TypeError):  # somebody's own words, not S3's
        return Told(strange=True)
    about = one.get("versionId", ""), one.get("eTag", ""), one.get("size", -1), record.get("awsRegion", "")
    return Told(((bucket, key, *about),))


def _of_event(event: dict) -> Told:
    if event["detail-type"] != "Object Created":
        return Told(others=1)
    one = event["detail"]["object"]
    about = one.get("version-id", ""), one.get("etag", ""), one["size"], event["region"]
    return Told(((event["detail"]["bucket"]["name"], one["key"], *about),))
