"""A journal in a bucket: what is settled is there before it is deleted, so that a lost disk takes no row.

    s3://<bucket>/<prefix>/log/<name>/<number>.log         what one sync has settled: a part of the log <name>
    s3://<bucket>/<prefix>/day=2026-01-02/<name>.parquet   the same, when the log is closed; its parts go then

The log on the disk is what Parquet is made of. Parts that a process left for ever, with its disk, are fetched
by another one a day later, as a log of its own that is closed. Parquet that is there is never written again,
and parts are deleted only behind it; rows that it lacks, of a process that had only slept, go beside it:

    s3://<bucket>/<prefix>/day=2026-01-02/<name>-<hash>.parquet

IAM: s3:PutObject, s3:GetObject, s3:ListBucket, s3:DeleteObject (of `log/` alone).
"""

import hashlib
import itertools
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from flows.journal.compaction import missing
from flows.journal.log import LOGS, begun, logs
from sources.errors import ObjectGone, SourceError, translate

PARQUET = ".parquet"
_PART = ".log"
_ADOPTED_HOURS, _ADOPTED_AT_ONCE = 26, 20
"""Parts of a log that was begun so long ago are nobody's any more."""

_HOUR = timedelta(hours=1)


class JournalBucket:
    """A journal in `s3://bucket/prefix`. Thread-safe. folder: of the same journal on this machine.

    client: makes the boto3 client. Everything raises SourceError where S3 does not do what it is asked.
    """

    def __init__(self, uri: str, client: Callable[[], Any], folder: Path) -> None:
        self.uri, self.folder, self._client = uri.rstrip("/"), folder, client
        self._bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._numbers = itertools.count()
        self._adopted: dict[str, list[str]] = {}  # by log: keys of the parts that are in it

    def __str__(self) -> str:
        return self.uri

    def probe(self) -> None:
        """Do once all that is done with a bucket."""
        name = f"{LOGS}/check.log"
        self._put(name, b"")
        key = next(self._keys(name), f"{self._prefix}{name}")
        self._read(key)
        self._delete(key)

    # what a collector writes

    def keep(self, name: str, entries: bytes) -> None:
        """Put a part of a log; no number is used twice, a request that is late overwrites nothing."""
        self._put(f"{LOGS}/{name}/{next(self._numbers):08d}{_PART}", entries)

    def ship(self) -> int:
        """Put the folder's Parquet, delete the parts of its logs, then the files; returns how many logs."""
        unfinished = {path.stem for path in logs(self.folder / LOGS)}
        made: defaultdict[str, list[Path]] = defaultdict(list)
        for path in sorted(self.folder.glob(f"day=*/*{PARQUET}")):
            if path.stem not in unfinished:
                made[path.stem].append(path)
        for name, paths in made.items():
            # the day of the log's name comes last: where it is, parts are not read any more
            for path in sorted(paths, key=_named_day):
                self._bring(path)
            self._clear(name)
            for path in paths:
                path.unlink(missing_ok=True)
        return len(made)

    def _bring(self, path: Path) -> None:
        """Put a file's rows, but for those that others have brought who took its log for lost."""
        day, body = path.parent.name, path.read_bytes()
        if self._put(f"{day}/{path.name}", body, once=True):
            return
        there = [self._read(key) for key in self._keys(f"{day}/{path.stem}")]
        if body not in there and (rest := missing(path, there)):
            name = f"{path.stem}-{hashlib.sha256(rest).hexdigest()[:8]}{PARQUET}"
            self._put(f"{day}/{name}", rest, once=True)

    def adopt(self, now: float) -> int:
        """Fetch logs whose processes were lost with their disks; returns how many. now: epoch seconds."""
        here = {path.stem for path in logs(self.folder / LOGS)}
        parts = self._parts("")
        lost = [name for name in parts if begun(name) < now - _ADOPTED_HOURS * 3600 and name not in here]
        chosen = random.sample(lost, min(len(lost), _ADOPTED_AT_ONCE))  # processes choose different ones
        for name in chosen:
            aside = self.folder / LOGS / f"{name}.new"
            aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fetch(parts[name], aside)
            aside.replace(aside.with_suffix(_PART))
            self._adopted[name] = parts[name]
        return len(chosen)

    # what readers read

    def files(self, start: float, end: float, seen: Iterable[str] = ()) -> Iterator[Path]:
        """Yield what rows of a time may be in, fetched one by one; each is gone when the next is asked for.

        start, end: epoch seconds. seen: names of logs and days/names of Parquet that were read here.
        """
        read, parts = set(seen), self._parts("")
        for key in self._days(start, end):
            day, name = key.removesuffix(PARQUET).split("/")[-2:]
            if name in parts and next(self._keys(f"{_day(name)}/{name}{PARQUET}"), ""):
                del parts[name]
            if name not in parts and read.isdisjoint({name, f"{day}/{name}"}):
                yield from self._fetched([key], key.rpartition("/")[2])
        for name, keys in sorted(parts.items()):
            unread = read.isdisjoint({name, f"{_day(name)}/{name}"})
            if unread and start - 2 * 3600 <= begun(name) < end + 86_400:
                yield from self._fetched(keys, f"{name}{_PART}")

    def of_log(self, name: str) -> Iterator[Path]:
        """Yield the Parquet of a log: of the day of its name, and of those beside it."""
        at = datetime.fromtimestamp(begun(name), UTC)
        for day in (at - 24 * _HOUR, at, at + 24 * _HOUR):
            for key in self._keys(f"day={day:%Y-%m-%d}/{name}"):
                yield from self._fetched([key], key.rpartition("/")[2])

    def latest(self, now: float, folder: Path, most_files: int, most_bytes: int, oldest: float) -> None:
        """Fetch the youngest files into a folder, as they lie here. oldest: seconds before now."""
        here = {path.stem for path in self.folder.glob(f"day=*/*{PARQUET}")} | {
            path.stem for path in logs(self.folder / LOGS)
        }
        files = {key: [key] for key in self._days(now - oldest, now + 86_400)}
        files |= {f"{self._prefix}{LOGS}/{name}{_PART}": keys for name, keys in self._parts("").items()}
        youngest = sorted(files, key=lambda key: key.rpartition("/")[2], reverse=True)
        for key in [one for one in youngest if Path(one).stem not in here][:most_files]:
            path = folder / key.removeprefix(self._prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(ObjectGone):  # it is Parquet by now
                self._fetch(files[key], path)
            most_bytes -= path.stat().st_size
            if most_bytes < 0:
                return

    def begins(self) -> float:
        """Return when its oldest row was written, about, in epoch seconds; infinity without rows."""
        found = [begun(Path(key).stem) for key in itertools.islice(self._keys("day="), 1)]
        return min([*found, *map(begun, self._parts(""))], default=float("inf"))

    # S3

    def _days(self, start: float, end: float) -> Iterator[str]:
        """Yield the keys of Parquet of the days of a time."""
        first, last = (f"{self._prefix}day={_date(moment)}" for moment in (start, end))
        for key in self._keys("day=", first):
            if key.rpartition("/")[0] > last:
                return
            if key.endswith(PARQUET):
                yield key

    def _parts(self, name: str) -> dict[str, list[str]]:
        """Return name of a log → keys of its parts, in their order. name: "" = all."""
        found: dict[str, list[str]] = {}
        for key in self._keys(f"{LOGS}/{name}"):
            log = key.removeprefix(f"{self._prefix}{LOGS}/").rpartition("/")[0]
            if key.endswith(_PART) and begun(log):
                found.setdefault(log, []).append(key)
        return found

    def _keys(self, below: str, after: str = "") -> Iterator[str]:
        prefix = f"{self._prefix}{below}"
        asked = {"Bucket": self._bucket, "Prefix": prefix, **({"StartAfter": after} if after else {})}
        while True:
            page = self._asked("s3:ListBucket", partial(_page, asked), prefix)
            yield from (one["Key"] for one in page.get("Contents", ()))
            if not page.get("NextContinuationToken"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _fetched(self, keys: Iterable[str], name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="journal-") as folder:
            path = Path(folder) / name
            try:
                self._fetch(keys, path)
            except ObjectGone:  # somebody has made Parquet of it, or it was never there
                return
            yield path

    def _fetch(self, keys: Iterable[str], path: Path) -> None:
        with path.open("wb") as file:
            for key in keys:
                file.write(self._read(key))

    def _read(self, key: str) -> bytes:
        def body(client: Any) -> Any:
            return client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        return bytes(self._asked("s3:GetObject", body, key))

    def _put(self, name: str, body: bytes, *, once: bool = False) -> bool:
        """Put an object. once: unless it is there already; returns whether it was not."""
        key, only = f"{self._prefix}{name}", {"IfNoneMatch": "*"} if once else {}

        def put(client: Any) -> bool:
            try:
                client.put_object(Bucket=self._bucket, Key=key, Body=body, **only)
            except ClientError as error:
                if not once or error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                return False
            return True

        return bool(self._asked("s3:PutObject", put, key))

    def _delete(self, key: str) -> None:
        def delete(client: Any) -> None:
            client.delete_object(Bucket=self._bucket, Key=key)

        self._asked("s3:DeleteObject", delete, key)

    def _clear(self, name: str) -> None:
        """Delete the parts of a log; of an adopted one only what was fetched: its owner may have woken."""
        for key in reversed(self._adopted.get(name) or self._parts(f"{name}/").get(name, [])):
            self._delete(key)
        self._adopted.pop(name, None)

    def _asked(self, action: str, asked: Callable[[Any], Any], key: str) -> Any:
        """Return what S3 answers. asked: what is asked of the client."""
        where = f"s3://{self._bucket}/{key}"
        try:
            return asked(self._client())
        except Exception as error:
            found = translate(error, where, action)
            kind = ObjectGone if isinstance(found, ObjectGone) else SourceError
            raise kind(
                f"the journal: {found.what}", where, found.hint, cause=f"journal {self.uri}"
            ) from error


def _page(asked: dict[str, Any], client: Any) -> Any:
    return client.list_objects_v2(**asked)


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(min(max(moment, 0), 253_402_300_799), UTC):%Y-%m-%d}"


def _named_day(path: Path) -> bool:
    return path.parent.name == _day(path.stem)


def _day(name: str) -> str:
    return f"day={_date(begun(name))}"
