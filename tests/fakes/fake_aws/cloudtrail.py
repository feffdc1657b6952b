"""What moto lacks of CloudTrail.

LookupEvents: newest first, pages, window, 90 days, late arrivals. ListPublicKeys: all that were put.
"""

import json
import uuid
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from msgspec import Struct

from tests.fakes.fake_aws.core import (
    ACCOUNT,
    CLOCK,
    LOCK,
    PLAN,
    REGION,
    Request,
    epoch_seconds,
    install,
    make_token,
    read_token,
    refuse,
    signature,
    state,
)

_DAYS_KEPT = 90
_LAST = "\U0010ffff"
"""Above every event id."""

_ATTRIBUTES = ("EventId", "EventName", "ReadOnly", "Username", "EventSource", "AccessKeyId")


class _Event(Struct, frozen=True):
    """time: epoch seconds, whole as CloudTrail's are. visible: from when on LookupEvents shows it."""

    time: float
    visible: float
    category: str
    shown: dict[str, Any]


class _PublicKey(Struct, frozen=True):
    """value: PKCS #1, DER. start, end: epoch seconds between which it signs."""

    value: bytes
    start: float
    end: float


def lookup_events(request: Request) -> dict[str, Any]:
    """Serve one page, newest first."""
    size = request.get("MaxResults", 50)
    if not 1 <= size <= 50:
        raise refuse("InvalidMaxResultsException", "A max results value of 1 to 50 is allowed.")
    attributes = request.get("LookupAttributes", [])
    if len(attributes) > 1:
        raise refuse("InvalidLookupAttributesException", "You can only specify one lookup attribute.")
    now = CLOCK.now()
    oldest = now - _DAYS_KEPT * 86_400
    start, end = epoch_seconds(request.get("StartTime", oldest)), epoch_seconds(request.get("EndTime", now))
    if start > end:
        raise refuse("InvalidTimeRangeException", "The start time must be before the end time.")
    bound = signature(request, "StartTime", "EndTime", "LookupAttributes", "EventCategory")
    token = request.get("NextToken")
    position = read_token(token, bound, "InvalidNextTokenException") if token else [end, _LAST]
    category = (request.get("EventCategory") or "management").lower()
    found = (
        event
        for event in _downwards(_store(request.account, request.region), position, max(start, oldest))
        if event.visible <= now
        and event.category == category
        and all(_has(event.shown, one["AttributeKey"], one["AttributeValue"]) for one in attributes)
    )
    size_now = PLAN.page("LookupEvents", size)
    if size_now is None:
        return {"Events": [], "NextToken": make_token(position, bound)}
    page = list(islice(found, size_now))
    more = next(found, None) is not None
    last = [page[-1].time, page[-1].shown["EventId"]] if page else position
    return {
        "Events": [event.shown for event in page],
        **({"NextToken": make_token(last, bound)} if more else {}),
    }


def _downwards(store: list[_Event], position: Sequence[Any], start: float) -> Iterator[_Event]:
    """Yield events strictly below a position (time, id), newest first, down to a time."""
    place = bisect_left(store, tuple(position), key=_key)
    floor = bisect_left(store, (start, ""), key=_key)
    return (store[at] for at in range(place - 1, floor - 1, -1))


def _key(event: _Event) -> tuple[float, str]:
    return event.time, event.shown["EventId"]


def put_cloudtrail_events(
    events: Iterable[Mapping[str, Any]], account: str = ACCOUNT, region: str = REGION
) -> list[str]:
    """Add events; each needs `EventName` only, the rest gets realistic defaults. Returns their ids.

    EventTime: epoch seconds. CloudTrailEvent: the record as the string that LookupEvents gives.
    delay_s: how long after now LookupEvents begins to show it. category: `management` or `insight`.
    """
    made = [_event(event, account, region) for event in events]
    with LOCK:
        store = _store(account, region)
        store.extend(made)
        store.sort(key=_key)
    return [event.shown["EventId"] for event in made]


def _store(account: str, region: str) -> list[_Event]:
    return state("cloudtrail", account, region, list[_Event])


def _event(given: Mapping[str, Any], account: str, region: str) -> _Event:
    now = CLOCK.now()
    shown = {
        "EventId": given.get("EventId") or str(uuid.uuid4()),
        "EventName": given["EventName"],
        "ReadOnly": given.get("ReadOnly", "false"),
        "AccessKeyId": given.get("AccessKeyId", "AKIAEXAMPLE0000000"),
        "EventTime": datetime.fromtimestamp(int(given.get("EventTime", now)), UTC),
        "EventSource": given.get("EventSource", "iam.amazonaws.com"),
        "Username": given.get("Username", "alice"),
        "Resources": given.get("Resources", []),
    }
    shown["CloudTrailEvent"] = given.get("CloudTrailEvent") or json.dumps(_record(shown, account, region))
    visible = now + given.get("delay_s", 0)
    return _Event(epoch_seconds(shown["EventTime"]), visible, given.get("category", "management"), shown)


def _record(shown: Mapping[str, Any], account: str, region: str) -> dict[str, Any]:
    """Return the CloudTrail record of an event."""
    user = {"type": "IAMUser", "userName": shown["Username"], "accountId": account}
    return {
        "eventVersion": "1.11",
        "userIdentity": {**user, "accessKeyId": shown["AccessKeyId"]},
        "eventTime": shown["EventTime"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": shown["EventSource"],
        "eventName": shown["EventName"],
        "awsRegion": region,
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli/2",
        "requestParameters": None,
        "responseElements": None,
        "requestID": str(uuid.uuid4()),
        "eventID": shown["EventId"],
        "readOnly": shown["ReadOnly"] == "true",
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }


def _has(shown: Mapping[str, Any], key: str, value: str) -> bool:
    if key in _ATTRIBUTES:
        return bool(shown[key] == value)
    return any(resource.get(key) == value for resource in shown["Resources"])


def list_public_keys(request: Request) -> dict[str, Any]:
    """Serve the public keys of a region that are valid within the times asked for."""
    start = epoch_seconds(request.get("StartTime", 0))
    end = epoch_seconds(request.get("EndTime", CLOCK.now()))
    kept = state("cloudtrail-keys", request.account, request.region, dict[str, _PublicKey])
    return {
        "PublicKeyList": [
            {
                "Fingerprint": fingerprint,
                "Value": key.value,
                "ValidityStartTime": key.start,
                "ValidityEndTime": key.end,
            }
            for fingerprint, key in kept.items()
            if key.start <= end and start <= key.end
        ]
    }


def put_public_key(
    fingerprint: str,
    value: bytes,
    span: tuple[float, float] = (0, 4_000_000_000),
    account: str = ACCOUNT,
    region: str = REGION,
) -> None:
    """Add a public key (PKCS #1, DER). span: epoch seconds between which it is valid."""
    with LOCK:
        state("cloudtrail-keys", account, region, dict[str, _PublicKey])[fingerprint] = _PublicKey(
            value, *span
        )


def extend() -> None:
    """Install the extension in moto."""
    from moto.cloudtrail.responses import CloudTrailResponse  # noqa: PLC0415 - moto is slow to import

    install(CloudTrailResponse, "cloudtrail", lookup_events, list_public_keys)
