"""How far a bucket has been listed: pure bookkeeping in UTC epoch milliseconds.

    now ─────────────────────────────────────────────────────┐
    late: keys may still appear here        ├────────────────┤
    final: what is older is listed no more  ┤
    ids of what is done                     ├────────────────┤

A key's moment is the later one of what it says itself (its name, else its folder) and of when it was written.
Both may lie well before the moment at which the key can be seen: folders are of days in who knows which zone,
logs "will not always be in the specific time bucket" (Cisco Umbrella, Log Formats), and an object uploaded in
parts counts as written when its upload began (Amazon S3 User Guide, Last-Modified). So nothing follows from
the order of keys: whatever appears within `late` of its moment is found, and what was found before is known
by its id.
"""

from collections.abc import Iterable
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from sources.apis.window import to_ms
from sources.errors import SourceError
from sources.listed.listing import folder_stretch, key_moment

VERSION = 1
MOST_IDS = 1_000_000
"""Of a listing; each takes 8 bytes in the state and some 80 in memory."""

_HOUR, _DAY = 3_600_000, 86_400_000
_ID_BYTES = 8
_AHEAD = timedelta(days=31)
"""A key that says a later time than this after it was written says something else than a time."""


class ListedObject(Struct, frozen=True, array_like=True):
    """One entry of a listing. said: what its key says, else when it was written; both in epoch ms."""

    key: str
    etag: str
    size: int
    said: int
    written: int

    @property
    def moment(self) -> int:
        """The later one of both."""
        return max(self.said, self.written)

    @property
    def digest(self) -> bytes:
        """Return its id; an object that was overwritten is another one."""
        named = f"{self.key}@{self.etag}".encode("utf-8", "surrogatepass")
        return blake2b(named, digest_size=_ID_BYTES).digest()


def listed_object(entry: dict[str, Any]) -> ListedObject:
    """Return an entry of ListObjectsV2."""
    key, written = entry["Key"], entry["LastModified"]
    folder = folder_stretch(key.rpartition("/")[0] + "/")
    said = key_moment(key) or (folder.end if folder else written)
    said = said if said <= written + _AHEAD else written
    return ListedObject(key, entry["ETag"].strip('"'), entry["Size"], to_ms(said), to_ms(written))


class ListingPosition:
    """What of a listing is done. Not thread-safe. final: what is older is done, or will never be.

    start: the first moment that is wanted. late: how long after its moment a key may appear. Both in ms.
    """

    def __init__(self, start: int, late: int) -> None:
        self.start, self.late = start, late
        self.final = self._read = start
        self._hours: dict[int, set[bytes]] = {}
        self._packed: dict[int, bytearray] = {}

    @property
    def full(self) -> bool:
        """Tell that no more ids are kept."""
        return sum(map(len, self._hours.values())) >= MOST_IDS

    def end(self, now: int) -> int | None:
        """Return up to where the next listing goes, None = as far as there is something.

        A position from long ago is caught up with day by day, so that few ids are open at a time.
        """
        end = self.final + self.late + _DAY
        return end if end < now else None

    def enters(self, folder: str, now: int) -> bool:
        """Tell whether a folder may hold something that is wanted; one of days to come may."""
        span = folder_stretch(folder)
        if span is None:
            return True
        end, begins = self.end(now), to_ms(span.start)
        return to_ms(span.end) > self.final and (end is None or begins < end or begins > now)

    def wants(self, one: ListedObject, now: int) -> bool:
        """Tell whether an object is to be collected now."""
        end = self.end(now)
        if one.moment < self.final or (end is not None and one.said >= end):
            return False
        return one.digest not in self._hours.get(one.moment // _HOUR, ())

    def settle(self, one: ListedObject) -> None:
        """Note that an object is delivered."""
        if one.moment >= self.final:
            self._add(one.moment // _HOUR, one.digest)

    def listed(self, began: int) -> bool:
        """Note that a listing that began then has come to its end; True when another one has to follow."""
        end = self.end(began)
        self._read = began if end is None else end
        self._finish()
        return end is not None

    def _finish(self) -> None:
        self.final = max(self.final, self._read - self.late)
        for hour in [hour for hour in self._hours if (hour + 1) * _HOUR <= self.final]:
            del self._hours[hour], self._packed[hour]

    def state(self, left: Iterable[ListedObject]) -> dict[str, Any]:
        """Return it as the recovery store keeps it. left: what was found and is not settled."""
        old = [msgspec.to_builtins(one) for one in left if one.moment < self.final]
        ids = {hour: bytes(packed) for hour, packed in self._packed.items()}
        where = {"asked": self.start, "final": self.final, "read": self._read}
        return {"v": VERSION, **where, "ids": ids, "left": old}

    def restore(self, state: dict[str, Any], where: str) -> list[ListedObject]:
        """Take over a state; return what it has left. Raises SourceError for another release's."""
        if state.get("v") != VERSION:
            hint = "run the release that wrote it, or change start_time to begin anew"
            raise SourceError(
                f"state of version {state.get('v')}, this release reads version {VERSION}", where, hint
            )
        self.start, self.final, self._read = state["asked"], state["final"], state["read"]
        for hour, packed in state["ids"].items():
            for at in range(0, len(packed), _ID_BYTES):
                self._add(hour, packed[at : at + _ID_BYTES])
        self._finish()
        return [msgspec.convert(one, ListedObject) for one in state["left"]]

    def _add(self, hour: int, digest: bytes) -> None:
        known = self._hours.setdefault(hour, set())
        if digest not in known:
            known.add(digest)
            self._packed.setdefault(hour, bytearray()).extend(digest)
