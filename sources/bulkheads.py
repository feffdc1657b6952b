"""Who may be fetched next: trouble of one bucket or region holds up nobody else. Pure; its caller locks.

A message is known by its causes before it is opened: the region and the bucket of what it announces. Then

    share     a cause may hold at most four times the fetchers that are still free: one alone gets `fetchers`
              of them, and however many hang, some are left for the next (dynamic thresholds: Choudhury and
              Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998)
    stuck     a fetch that has brought nothing for seconds no longer counts: another thread takes its place,
              up to a bound
    hanging   while nothing at all has come of a cause for seconds, not a byte, whenever its fetches began, it
              gets a few fetchers that try, beside those of others
    failing   the same after failures in a row, none of them soon after a success (one bad prefix among good
              ones is not its bucket): some that try at first, then fewer
    line      causes take turns; what a hanging or failing cause leaves no room for is given back unopened,
              for about as long as the trouble has lasted; what comes again has a turn of its own beside what
              is new
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from msgspec import Struct

from sources.errors import BadCredentials, Denied, ExpiredCredentials, SlowBody, Throttled, Transient
from transforms.locks import Guard, guarded

_LOCKS = (Guard("_changed", ("_turns",)),)

T = TypeVar("T")
"""What is fetched, compared by identity: a lease."""

STUCK_SECONDS = 3.0
"""A fetch that has brought nothing for so long waits for AWS, not for us."""

_DRIP_SECONDS = 1.5
"""One of which bytes came, and nothing that is whole: it is slow, and nothing that others share hangs."""

_FAILURE_THRESHOLD, _GRACE_SECONDS = 8, 10.0
"""Failures in a row, of a kind that others of its cause share, after which a cause is failing, when as long
nothing has come of it: whoever may write notices of keys that are not there can make failures at will."""

_SHARE = 4
_SURVEY_SECONDS = 0.25
_LINE_OF_HANGING, _LINE_OF_FAILING = 8, 32
"""Messages of such a cause that wait; more go back to their queue unopened."""

_TRY_SECONDS = 1.0
"""How long what tries has until the line of a hanging cause is shortened."""

_AWAY_SECONDS = 5.0, 30.0
"""How long what goes back unopened stays away, at first: as long as its cause has failed, within these."""

_CAUSES = 10_000
_NONE = ("",)
"""Stands for no cause: what fails there is nobody else's."""


class Cause(Struct, eq=False):
    """What messages have in common that may fail for all of them. name: "region eu-west-1", "bucket logs".

    held: fetchers that are at it, stuck ones among them. waiting: messages in line. failures: in a row.
    moved: when something came of it, if only a refusal, or it got its first fetcher. good: when a fetch of it
    succeeded. since: when it began to fail. still: seconds for which nothing has moved.
    """

    name: str
    held: int = 0
    stuck: int = 0
    waiting: int = 0
    failures: int = 0
    moved: float = 0.0
    good: float = -math.inf
    since: float = 0.0
    still: float = 0.0
    failing: bool = False

    @property
    def hanging(self) -> bool:
        """Tell that fetchers are at it, and nothing comes."""
        return self.held > 0 and self.still > STUCK_SECONDS

    @property
    def troubled(self) -> bool:
        """Tell that it fails, or that nothing of it comes."""
        return self.failing or self.hanging

    @property
    def line(self) -> float:
        """Return how many of its messages may wait."""
        if self.hanging and self.still > STUCK_SECONDS + _TRY_SECONDS:
            return _LINE_OF_HANGING
        return _LINE_OF_FAILING if self.failing else math.inf


class Fetch(Struct, Generic[T], eq=False):
    """A lease that is being opened.

    moved: when it brought something last; infinite while it waits for the dataflow, -infinite while it only
    tries. came: when bytes came of it last, which is less. Both are its thread's alone.
    """

    lease: T
    causes: tuple[Cause, ...]
    begun: float
    moved: float
    came: float = -math.inf
    stuck: bool = False


class _FetchHere(threading.local):
    """What this thread fetches."""

    fetch: "Fetch[Any] | None" = None


_HERE = _FetchHere()


@contextmanager
def fetching(fetch: "Fetch[Any]") -> Iterator[None]:
    """Have `bytes_came` in this thread tell of a fetch."""
    _HERE.fetch = fetch
    try:
        yield
    finally:
        _HERE.fetch = None


def bytes_came() -> None:
    """Note that bytes came of what this thread fetches: nothing hangs that its bucket has in common."""
    if _HERE.fetch is not None:
        _HERE.fetch.came = time.monotonic()


class Bulkheads(Generic[T]):
    """The leases that wait for a fetcher, and those that have one. fetchers: at once, of one cause."""

    def __init__(self, fetchers: int) -> None:
        self._tries = max(fetchers // _SHARE, 1)
        self._places = fetchers + self._tries
        self.threads = self._places * 3
        self._unbounded = not fetchers
        self._lines: OrderedDict[tuple[str, ...], deque[T]] = OrderedDict()
        self._causes: OrderedDict[str, Cause] = OrderedDict()
        self._fetches: dict[T, Fetch[T]] = {}
        self.waiting = self._stuck = 0
        self._surveyed = 0.0

    def __len__(self) -> int:
        """Return how many are being fetched."""
        return len(self._fetches)

    @property
    def wanted(self) -> int:
        """Return how many threads there is work for; one, to see what hangs, where something waits."""
        may = sum(min(len(line), self._slack(self._known(names))) for names, line in self._lines.items())
        busy = len(self._fetches)
        most = max(self._places + self._stuck, busy + 1)
        return min(busy + max(may, int(self.waiting > 0)), most, self.threads)

    @property
    def mixed(self) -> bool:
        """Tell that messages of several causes wait."""
        return len(self._lines) > 1

    def unwanted(self, names: tuple[str, ...]) -> bool:
        """Tell that a message with these causes is better given back unopened than let wait."""
        return any(one.waiting >= one.line for one in self._here(names))

    def away(self, names: tuple[str, ...], now: float) -> float:
        """Return for how many seconds a message with these causes is best given back unopened."""
        least, most = _AWAY_SECONDS
        here = self._here(names)
        since = min((one.since for one in here if one.failing), default=now)
        return most if any(one.hanging for one in here) else min(max(now - since, least), most)

    def add(self, lease: T, names: tuple[str, ...]) -> None:
        """Let a lease wait in the line of its causes."""
        names = names or _NONE
        self._lines.setdefault(names, deque()).append(lease)
        self.waiting += 1
        for cause in self._known(names):
            cause.waiting += 1

    def begin(self, now: float) -> Fetch[T] | None:
        """Return what is fetched next; None when nothing may be."""
        self._survey(now)
        for names in list(self._lines):
            causes = self._known(names)
            if self._slack(causes):
                return self._fetch(names, causes, now)
        return None

    def end(self, fetch: Fetch[T], error: Exception | None = None, now: float = 0.0) -> list[Cause]:
        """Note the end of a fetch; return those of its causes whose trouble begins or ends with it."""
        if self._fetches.pop(fetch.lease, None) is None:
            return []
        self._stuck -= fetch.stuck
        changed = []
        blamed = _blamed(fetch.causes, error)
        for cause in fetch.causes:
            cause.held -= 1
            cause.stuck -= fetch.stuck
            cause.moved = max(cause.moved, now)
            if error is None:
                cause.failures, cause.good = 0, now
            elif cause in blamed:
                cause.failures += 1
            failing = cause.failures >= _FAILURE_THRESHOLD and now - cause.good > _GRACE_SECONDS
            if cause.failing != failing:
                cause.failing, cause.since = failing, now
                changed.append(cause)
        return changed

    def clear(self) -> list[T]:
        """Return all that waits, which then waits no more."""
        leases = [lease for line in self._lines.values() for lease in line]
        self._lines.clear()
        self.waiting = 0
        for cause in self._causes.values():
            cause.waiting = 0
        return leases

    def drop_overflow(self, now: float) -> list[T]:
        """Return what waits in too long a line, its cause having got into trouble; it waits no more."""
        self._survey(now)
        found: list[T] = []
        for names in list(self._lines):
            while names in self._lines and self._overfull(names):
                found.append(self._take(names))
        return found

    def _overfull(self, names: tuple[str, ...]) -> bool:
        return any(one.waiting > one.line for one in self._known(names))

    def _take(self, names: tuple[str, ...]) -> T:
        """Take the first of a line; the line goes behind the others."""
        line = self._lines[names]
        lease = line.popleft()
        if line:
            self._lines.move_to_end(names)
        else:
            del self._lines[names]
        self.waiting -= 1
        for cause in self._known(names):
            cause.waiting -= 1
        return lease

    def _fetch(self, names: tuple[str, ...], causes: tuple[Cause, ...], now: float) -> Fetch[T]:
        tries = any(cause.troubled for cause in causes)
        fetch = Fetch(self._take(names), causes, now, -math.inf if tries else now, stuck=tries)
        self._fetches[fetch.lease] = fetch
        self._stuck += tries
        for cause in causes:
            if not cause.held:
                cause.moved, cause.still = now, 0.0
            cause.held += 1
            cause.stuck += tries
        return fetch

    def _slack(self, causes: tuple[Cause, ...]) -> int:
        """Return how many fetchers may be given to what has these causes."""
        return 1 if self._unbounded else min(self._left(cause) for cause in causes)

    def _left(self, cause: Cause) -> int:
        if cause.troubled:  # those that try stand beside the places of others, as those that are stuck do
            young = self._surveyed - cause.since < STUCK_SECONDS
            most = self._places if cause.hanging else self._tries * (2 if young else 0.5)
            return max(min(math.ceil(most) - cause.held, self.threads - self._places - self._stuck), 0)
        free = self._places - len(self._fetches) + self._stuck
        mine = cause.held - cause.stuck
        return max((_SHARE * free - mine) // (_SHARE + 1), min(free, 1) if not mine else 0)

    def _survey(self, now: float) -> None:
        """Look now and then which fetches are stuck, and whose: there may be a hundred of them."""
        if now - self._surveyed < _SURVEY_SECONDS:
            return
        self._surveyed = now
        for fetch in self._fetches.values():
            moved = min(max(fetch.moved, fetch.came), now)
            for cause in fetch.causes if moved > fetch.begun else ():
                cause.moved = max(cause.moved, moved)
        for fetch in self._fetches.values():
            stuck = now - fetch.moved > (_DRIP_SECONDS if fetch.came > fetch.begun else STUCK_SECONDS)
            if stuck != fetch.stuck and (not stuck or self._stuck < self.threads - self._places):
                fetch.stuck = stuck
                self._stuck += 1 if stuck else -1
                for cause in fetch.causes:
                    cause.stuck += 1 if stuck else -1
            for cause in fetch.causes:
                cause.still = now - cause.moved

    def _here(self, names: tuple[str, ...]) -> list[Cause]:
        return [self._causes[name] for name in names if name in self._causes]

    def _known(self, names: tuple[str, ...]) -> tuple[Cause, ...]:
        return tuple(self._cause(name) for name in names)

    def _cause(self, name: str) -> Cause:
        cause = self._causes.get(name)
        if cause is None:
            cause = self._causes[name] = Cause(name)
            if len(self._causes) > _CAUSES:
                self._forget()
        return cause

    def _forget(self) -> None:
        """Forget the oldest cause of which nothing is here."""
        idle = (name for name, one in self._causes.items() if not (one.held or one.waiting))
        if (name := next(idle, None)) is not None:
            del self._causes[name]


class Turn(Struct, eq=False):
    """A place among others. moved: when something came of it last, infinite while it waits for others."""

    moved: float


@guarded(_LOCKS)
class Turns:
    """So many places; whoever has brought nothing for seconds does not count, as in `Bulkheads`. Thread-safe.

    A body that drips may be read for days; with the places that it has, nobody else's would be read.
    """

    def __init__(self, places: int) -> None:
        self._places, self._turns = places, dict[Turn, None]()
        self._changed = threading.Condition()

    def begin(self, timeout: float) -> Turn | None:
        """Return a turn, None when there is none within seconds."""
        with self._changed:
            if not self._free():
                self._changed.wait_for(self._free, timeout)
            if not self._free():
                return None
            turn = Turn(time.monotonic())
            self._turns[turn] = None
            return turn

    def end(self, turn: Turn) -> None:
        """Give it back."""
        with self._changed:
            del self._turns[turn]
            self._changed.notify()

    def _free(self) -> bool:
        stuck = time.monotonic() - _DRIP_SECONDS
        return sum(turn.moved > stuck for turn in self._turns) < self._places


def common(error: Exception) -> bool:
    """Tell a failure that all causes share: it is our own identity that is refused."""
    return isinstance(error, BadCredentials | ExpiredCredentials)


def _blamed(causes: tuple[Cause, ...], error: Exception | None) -> tuple[Cause, ...]:
    """Return what others fail for too: a lost connection may be the region's, the rest is the bucket's.

    A body that drips is its object's own: were it the bucket's, honest objects of it would go back unopened.
    """
    if causes[0].name in _NONE or isinstance(error, SlowBody):
        return ()
    if isinstance(error, Transient) and not isinstance(error, Throttled):
        return causes
    if isinstance(error, Denied | Throttled) and not common(error):
        return causes[-1:]
    return ()
