"""The objects of a stretch of time, found by listing a bucket no wider than the dates in its keys demand.

Folders that say a date outside the stretch are not entered, but those that are called like a year and hold
other than months; what a key itself says decides, then its folder, then when it was written. Knows the dates
of CloudTrail, VPC flow (plain, hourly, Hive), CloudFront, Umbrella and whoever writes them alike. IAM:
s3:ListBucket.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec import Struct, field

from sources.errors import translate
from sources.objects.object_ref import ObjectRef

Entry: TypeAlias = dict[str, Any]
"""What ListObjectsV2 tells of an object: Key, ETag, Size, LastModified."""

LIST_ACTION = "s3:ListBucket"
_THREADS = 16
_MOST_PARENTS = 100_000
"""Of folders that are called like years; all are looked into again when there are more."""

_FOLDERS = (
    re.compile(
        r"(?:^|/)(?:year=)?(?P<Y>20\d\d)/"
        r"(?:(?:month=)?(?P<m>\d\d)/(?:(?:day=)?(?P<d>\d\d)/(?:(?:hour=)?(?P<H>\d\d)/)?)?)?$"
    ),
    re.compile(r"(?:^|/)(?:\w+=)?(?P<Y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)/$"),
    re.compile(r"(?:^|/)\w+=(?P<Y>20\d\d)(?P<m>\d\d)(?P<d>\d\d)/$"),
)
_PLAIN_YEAR = re.compile(r"(?:^|/)20\d\d/$")
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

    def holds(self, other: "Stretch") -> bool:
        """Tell whether the other one is a part of it."""
        return self.start <= other.start and other.end <= self.end and self != other

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
    return _moment_of(found.groups())


@lru_cache(maxsize=4096)
def _moment_of(parts: tuple[str | None, ...]) -> datetime | None:
    """Return the moment of year, month, day, hour and minute, as far as they are told."""
    year, month, day, hour, minute = (int(part) if part else 0 for part in (*parts, *(None,) * 5)[:5])
    try:
        return datetime(year, month or 1, day or 1, hour, minute, tzinfo=UTC)
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
    found = told(key, stretch)
    return written in stretch if found is None else found


def told(key: str, stretch: Stretch) -> bool | None:
    """Tell whether what an object's key says is of a stretch; None when it says no date, or a mere year."""
    moment = key_moment(key)
    if moment:
        return moment in stretch
    span = dated_folder(key.rpartition("/")[0])
    return span.overlaps(stretch) if span else None


@lru_cache(maxsize=4096)
def dated_folder(folder: str) -> Stretch | None:
    """Return the stretch of the deepest folder that says one, below whatever it lies; a mere year says none.

    folder: without its last slash.
    """
    if not folder:
        return None
    plain = _PLAIN_YEAR.search(f"{folder}/")
    return (None if plain else folder_stretch(f"{folder}/")) or dated_folder(folder.rpartition("/")[0])


def listed(
    client: Any, bucket: str, prefix: str, stretch: Stretch, asked: ListingCalls
) -> Iterator[ObjectRef]:
    """Yield the objects of a stretch, in no order. Raises SourceError."""
    return (_ref(bucket, entry) for entry in entries(client, bucket, prefix, stretch, asked))


def entries(client: Any, bucket: str, prefix: str, stretch: Stretch, asked: ListingCalls) -> Iterator[Entry]:
    """Yield what S3 tells of each object of a stretch, in no order. Raises SourceError.

    Pages are asked for side by side; no more of them than threads wait to be taken.
    """

    def enter(folder: str) -> bool:
        span = folder_stretch(folder)
        return span is None or span.overlaps(stretch)

    with ThreadPoolExecutor(_THREADS, "list") as pool:
        for page in pages(client, ListedPrefix(bucket, prefix), enter, asked, Ahead(pool.submit, _THREADS)):
            yield from (entry for entry in page if _fits(entry, stretch))


class _Years:
    """Whether folders called like a year are years, or a tenant's: one below each parent is looked into.

    known: parent → whether they are.
    """

    def __init__(self, known: dict[str, bool]) -> None:
        self._known, self._left = known, dict[str, list[str]]()

    def also(self, folder: str) -> list[str]:
        """Return what to list for a folder that is not wanted for its date: itself, or nothing."""
        parent = _parent(folder)
        if not _PLAIN_YEAR.search(folder) or self._known.get(parent):
            return []
        if parent in self._known:
            return [folder]
        left = self._left.setdefault(parent, [])
        left.append(folder)
        return [folder] if len(left) == 1 else []

    def freed(self, folder: str, inside: list[str]) -> list[str]:
        """Note the folders inside one that was listed; return its neighbours that are to be listed too."""
        parent = _parent(folder)
        if folder not in self._left.get(parent, ())[:1]:
            return []
        if len(self._known) >= _MOST_PARENTS:
            self._known.clear()
        year = folder_stretch(folder)
        spans = [folder_stretch(one) for one in inside]
        self._known[parent] = bool(spans) and all(one and year and year.holds(one) for one in spans)
        left = self._left.pop(parent)
        return [] if self._known[parent] else left[1:]


def _parent(folder: str) -> str:
    return folder[: folder.rstrip("/").rfind("/") + 1]


class ListedPrefix(Struct, frozen=True):
    """What is listed. more: parameters of each request besides.

    years: parent → whether its folders that are called like years are years; a listing adds to it.
    """

    bucket: str
    prefix: str
    more: Mapping[str, str] = {}
    years: dict[str, bool] = field(default_factory=dict)


Submit: TypeAlias = Callable[..., "Future[dict[str, Any]]"]


def _at_once(job: Callable[..., dict[str, Any]], *arguments: object) -> "Future[dict[str, Any]]":
    done: Future[dict[str, Any]] = Future()
    done.set_result(job(*arguments))
    return done


class Ahead(Struct, frozen=True):
    """How pages are asked for before they are wanted. most: requests under way at once."""

    submit: Submit = _at_once
    most: int = 1


_NOT_AHEAD = Ahead()


def pages(
    client: Any,
    wanted: ListedPrefix,
    enter: Callable[[str], bool],
    asked: ListingCalls,
    ahead: Ahead = _NOT_AHEAD,
) -> Iterator[list[Entry]]:
    """Yield the entries of each page, of every folder below a prefix that `enter` lets in.

    What was asked for ahead is bounded, and deep folders go first: what waits stays small.
    Raises SourceError.
    """

    def page(folder: str, token: str) -> dict[str, Any]:
        more = {**wanted.more, **({"ContinuationToken": token} if token else {})}
        try:
            reply = client.list_objects_v2(Bucket=wanted.bucket, Prefix=folder, Delimiter="/", **more)
        except Exception as error:
            raise translate(error, f"s3://{wanted.bucket}/{folder}", LIST_ACTION) from error
        return {"Folder": folder, **reply}

    waiting, running = [(wanted.prefix, "")], deque[Future[dict[str, Any]]]()
    years = _Years(wanted.years)
    while waiting or running:
        while waiting and len(running) < ahead.most:
            running.append(ahead.submit(page, *waiting.pop()))
        reply = running.popleft().result()
        asked.requests += 1
        if reply.get("IsTruncated"):
            waiting.append((reply["Folder"], reply["NextContinuationToken"]))
        folders = [each["Prefix"] for each in reply.get("CommonPrefixes", ())]
        entered = [one for each in reversed(folders) for one in ([each] if enter(each) else years.also(each))]
        waiting += [(folder, "") for folder in (*entered, *years.freed(reply["Folder"], folders))]
        yield reply.get("Contents", [])


def _fits(entry: Entry, stretch: Stretch) -> bool:
    key: str = entry["Key"]
    return not key.endswith("/") and wanted(key, entry["LastModified"], stretch)


def _ref(bucket: str, entry: Entry) -> ObjectRef:
    return ObjectRef(bucket, entry["Key"], etag=entry["ETag"].strip('"'), size=entry["Size"])
