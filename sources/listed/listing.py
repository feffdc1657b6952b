"""The objects of a stretch of time, found by listing a bucket no wider than the dates in its keys demand.

Folders that say a date outside the stretch are not entered; what a key itself says decides, then its folder,
then when it was written. Knows the dates of CloudTrail, VPC flow (plain, hourly, Hive), CloudFront, Umbrella
and whoever writes them alike. IAM: s3:ListBucket.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from sources.errors import translate
from sources.objects.object_ref import ObjectRef

_THREADS = 16
_FOLDERS = (
    re.compile(
        r"(?:^|/)(?:year=)?(?P<Y>20\d\d)/"
        r"(?:(?:month=)?(?P<m>\d\d)/(?:(?:day=)?(?P<d>\d\d)/(?:(?:hour=)?(?P<H>\d\d)/)?)?)?$"
    ),
    re.compile(r"(?:^|/)(?P<Y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)/$"),
)
_NAMES = (
    re.compile(r"_(?P<Y>20\d\d)(?P<m>\d\d)(?P<d>\d\d)T(?P<H>\d\d)(?P<M>\d\d)Z[_.]"),
    re.compile(r"\.(?P<Y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)-(?P<H>\d\d)\."),
    re.compile(r"(?:^|/)(?P<Y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)-(?P<H>\d\d)-(?P<M>\d\d)[-.]"),
)


class Stretch(Struct, frozen=True):
    """From start, inclusive, to end, exclusive; both aware."""

    start: datetime
    end: datetime

    def overlaps(self, other: "Stretch") -> bool:
        """Tell whether they have a moment in common."""
        return self.start < other.end and other.start < self.end

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


class ListingCalls(Struct):
    """How many listing requests were made."""

    requests: int = 0


def folder_stretch(prefix: str) -> Stretch | None:
    """Return the year, month, day or hour that a folder's name says, None when it says none."""
    found = next(filter(None, (pattern.search(prefix) for pattern in _FOLDERS)), None)
    start = _moment(found) if found else None
    if found is None or start is None:
        return None
    return Stretch(start, _after(start, sum(part is not None for part in found.groups())))


def _moment(found: re.Match[str]) -> datetime | None:
    """Return the moment of the parts that were found; None when there is no such date."""
    parts = {"m": "1", "d": "1", "H": "0", "M": "0"} | {k: v for k, v in found.groupdict().items() if v}
    try:
        year, month, day, hour, minute = (int(parts[name]) for name in ("Y", "m", "d", "H", "M"))
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None


def _after(start: datetime, parts: int) -> datetime:
    match parts:
        case 1:
            return start.replace(year=start.year + 1)
        case 2:
            return (start + timedelta(days=32)).replace(day=1)
        case 3:
            return start + timedelta(days=1)
        case _:
            return start + timedelta(hours=1)


def key_moment(key: str) -> datetime | None:
    """Return the moment that an object's name says, None when it says none."""
    found = next(filter(None, (pattern.search(key) for pattern in _NAMES)), None)
    return _moment(found) if found else None


def wanted(key: str, written: datetime, stretch: Stretch) -> bool:
    """Tell whether an object belongs to a stretch: by its name, else its folder, else when it was written."""
    moment = key_moment(key)
    if moment:
        return moment in stretch
    folder = folder_stretch(key.rpartition("/")[0] + "/")
    return folder.overlaps(stretch) if folder else written in stretch


def listed(
    client: Any, bucket: str, prefix: str, stretch: Stretch, asked: ListingCalls
) -> Iterator[ObjectRef]:
    """Yield the objects of a stretch, folder level by folder level. Raises SourceError."""

    def folder(one: str) -> tuple[list[str], list[ObjectRef]]:
        folders: list[str] = []
        found: list[ObjectRef] = []
        token: dict[str, str] = {}
        while True:
            try:
                reply = client.list_objects_v2(Bucket=bucket, Prefix=one, Delimiter="/", **token)
            except Exception as error:
                raise translate(error, f"s3://{bucket}/{one}", "s3:ListBucket") from error
            asked.requests += 1
            folders += [each["Prefix"] for each in reply.get("CommonPrefixes", ())]
            found += [_ref(bucket, each) for each in reply.get("Contents", ()) if _fits(each, stretch)]
            if not reply.get("IsTruncated"):
                return folders, found
            token = {"ContinuationToken": reply["NextContinuationToken"]}

    level = [prefix]
    with ThreadPoolExecutor(_THREADS) as pool:
        while level:
            below: list[str] = []
            for folders, found in pool.map(folder, level):
                yield from found
                below += [one for one in folders if _may_hold(one, stretch)]
            level = below


def _fits(entry: dict[str, Any], stretch: Stretch) -> bool:
    key: str = entry["Key"]
    return not key.endswith("/") and wanted(key, entry["LastModified"], stretch)


def _may_hold(prefix: str, stretch: Stretch) -> bool:
    span = folder_stretch(prefix)
    return span is None or span.overlaps(stretch)


def _ref(bucket: str, entry: dict[str, Any]) -> ObjectRef:
    return ObjectRef(bucket, entry["Key"], etag=entry["ETag"].strip('"'), size=entry["Size"])
