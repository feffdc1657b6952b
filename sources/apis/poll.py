"""What one AWS API brings to the cursor family: its targets, and one poll of one target.

A `Poll` is a strategy without threads, timers or bookkeeping of its own: `poll_scheduler.py` decides when
it is asked, `cursor.py` decides when its position counts.

State: plain, versioned (`{"v": 2, …}`), JSON types only, and never changed once it was yielded: it is
pickled later, in another thread. `{}` means "never polled". A strategy works with its `Position` and converts
at its border: `restored` in, `stored` out.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from sources.apis.window import LateEvents, Window
from sources.errors import BadCredentials, Denied, IdentityAbsent, Missing, SourceError, Throttled
from transforms.block import Item

SECOND_LOOK = " recheck"
"""What the key of a target's second look ends with; no target's own key holds a space."""

State: TypeAlias = dict[str, Any]
"""A target's position, as the recovery store keeps it."""


class Target(Struct, frozen=True):
    """One independent position: a region, a log group, a detector.

    key: stable, unique within the service, e.g. `eu-west-1/my-group`; part of the recovery format.
    detail: what the API needs beyond account and region: a group's name, a detector's id.
    since: epoch ms from which on the service runs, or has not read because it was down; 0 = now.
    former: its key before the input was an organization's, whose position it takes over, unless that is older
    than `born` (epoch ms).
    """

    key: str
    account: str = ""
    region: str = ""
    detail: str = ""
    since: int = 0
    former: str = ""
    born: int = 0

    def begin(self, now: int) -> int:
        """Return from when on it is read that was never polled: it may be there since an outage began."""
        return min(self.since or now, now)


class Rest(Struct, frozen=True):
    """An account that cannot be listed, or not all of it: what it has a position in is not taken as gone.

    error: why, None = it is suspended, or lets nobody in, which is told already.
    """

    account: str
    error: SourceError | None = None


def region_of(key: str) -> str:
    """Return the region that a target's key begins with."""
    return key.partition("/")[0]


def account_of(key: str) -> str:
    """Return the account that a target's key of an organization names, "" where it names none."""
    found = key.split("/", 2)[1:2]
    return found[0].removesuffix(SECOND_LOOK) if found else ""


class Listing(Struct, frozen=True):
    """Which one it is, the keys that it found, the accounts that rest, and when it began (epoch ms)."""

    number: int = 0
    keys: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()
    begun: int = 0

    def gone(self, key: str) -> bool:
        """Tell whether a target is no more."""
        return key not in self.keys and account_of(key) not in self.resting


_SHOWN_LATE = 3 * 3_600_000
"""How long a target may be there before a listing shows it, in ms: ListMetrics is up to 15 minutes late; an
organization's regions are known for an hour, its accounts and what they share for `refresh_seconds` each."""


class Beginnings(Struct, frozen=True):
    """From when on (epoch ms) targets of a lane are read that have no position: kept through each restart.

    since: of those that no listing has shown: when the last whole one began, or the service did; 0 = unknown.
    unread: of those that one has shown, and that could not be read.
    """

    since: int = 0
    unread: dict[str, int] = field(default_factory=dict)

    def of(self, key: str) -> int:
        """Return from when on a target without a position is read; 0 = unknown."""
        return self.unread.get(key, self.since)

    def after(self, listing: Listing, without: Iterable[str]) -> "Beginnings":
        """Return them after a listing. without: the lane's keys in it that have no position."""
        unread = {key: self.of(key) for key in without}
        unread.update((key, ms) for key, ms in self.unread.items() if account_of(key) in listing.resting)
        whole = 0 if listing.resting else listing.begun - _SHOWN_LATE
        return Beginnings(max(self.since, whole), unread)


class Page(Struct, frozen=True):
    """Events that are handed to the dataflow as one, and the position once they are.

    state: the target's whole state after this page; a page without items only moves the position.
    again: of the last page of a poll: there is more to read now, poll again as soon as others had their turn.
    upto: epoch ms before which everything has been read with this page; 0 = unknown.
    repeats: events that came with it once more and were left out.
    late: how late its events became visible; None = unknown.
    ids: of its events → epoch ms, for a second look; those that need not be kept are left out.
    """

    items: tuple[Item, ...]
    state: State
    again: bool = False
    upto: int = 0
    repeats: int = 0
    late: LateEvents | None = None
    ids: Mapping[str, int] = field(default_factory=dict)


class Poll(Protocol):
    """One API. Both methods run in fetch threads, several at a time, but never two for one target."""

    @property
    def name(self) -> str:
        """Service name in the catalogue, for logs, metrics and `Origin.service`."""

    @property
    def period_seconds(self) -> float:
        """From one poll of a target to the next."""

    def targets(self) -> Iterable[Target | Rest | SourceError]:
        """Return every target there is now.

        A SourceError yielded (not raised) says that a part could not be listed, a region for instance: the
        rest is used, and no target is taken as gone this time. One raised ends the listing the same way.
        """

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Poll a target once, from the state of its last page.

        Closed in mid-iteration when the process drains. Raises SourceError: pages already yielded stay, and
        the next poll starts from the last one's state, after a pause. Waits only where a limiter says so.
        """

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a finished range once more: pages of the events whose id is not in `ids` (→ epoch ms)."""


class Position(Struct, frozen=True, kw_only=True):
    """A target's position as its strategy works with it. Fields that may be absent are falsy by default."""

    VERSION: ClassVar[int] = 2

    @classmethod
    def migrated(cls, state: State) -> State:
        """Return a state of the version before in the form of this one."""
        return state


P = TypeVar("P", bound=Position)


def restored(kind: type[P], state: State, where: str) -> P | None:
    """Return a target's position; None when it was never polled.

    Raises SourceError for a state that no release up to this one wrote: starting anew instead would leave a
    hole that nobody hears of.
    """
    if not state:
        return None
    if state.get("v") == kind.VERSION - 1:
        state = {**kind.migrated(state), "v": kind.VERSION}
    try:
        return msgspec.convert(known(state, where, kind.VERSION), kind)
    except msgspec.ValidationError as error:
        hint = "start from an older recovery directory, or change start_time to begin anew"
        raise SourceError(f"state of version {kind.VERSION} cannot be read ({error})", where, hint) from error


def stored(position: Position) -> State:
    """Return a position as the recovery store keeps it; ids are shared with it, not copied."""
    state: State = {"v": position.VERSION}
    values = msgspec.structs.astuple(position)
    for one, value in zip(msgspec.structs.fields(position), values, strict=True):
        if one.required or (value and value != one.default):
            state[one.encode_name] = msgspec.to_builtins(value) if isinstance(value, Struct) else value
    return state


def final_of(state: State) -> int:
    """Return the moment (epoch ms) before which a target expects nothing any more."""
    known_names = (state.get(name) for name in ("final", "start", "done", "at"))
    return int(next((ms for ms in known_names if ms), 0))


def seen_of(state: State) -> dict[str, int]:
    """Return the ids (→ epoch ms) of what a target has read and may read once more."""
    parts = (state.get("seen", {}), state.get("slow", {}), *state.get("more", ()))
    return {key: ms for part in parts for key, ms in part.items()}


def done_of(state: State) -> int:
    """Return the moment (epoch ms) up to which a target has been read."""
    return int(state.get("done") or state.get("at") or state.get("from") or 0)


def known(state: State, where: str, version: int) -> State:
    """Return a state as it is; raises SourceError for one that another release wrote."""
    if state and state.get("v") != version:
        raise SourceError(
            f"state of version {state.get('v')}, this release reads version {version}",
            where,
            "run the release that wrote it, or change start_time to begin anew",
        )
    return state


def pause_after(error: SourceError, failures: int, base: float, jitter: float) -> float:
    """Return the seconds to rest after the n-th failure in a row; jitter in 0…1 takes up to half of it.

    What only a person can repair (a permission, a missing group) is asked again rarely.
    """
    if isinstance(error, IdentityAbsent):
        first, most = 2, 60  # it may come any moment, and is asked for once for all that wait
    elif isinstance(error, BadCredentials):
        first, most = 10, 300
    elif isinstance(error, Denied | Missing):
        first, most = 60, 900
    elif isinstance(error, Throttled):
        first, most = 5, 120
    else:
        first, most = 1, 300
    return base * min(first * 2.0 ** min(failures - 1, 16), most) * (1 - jitter / 2)
