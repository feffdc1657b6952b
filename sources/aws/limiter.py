"""How fast AWS may be asked: token buckets, in this process or shared by all processes of this machine.

A limiter is taken from before each request, in a fetch thread:

    if not limiter.wait(drain):     # waits its turn; False when the process drains
        return

AWS counts per account, region and API, so there is one bucket for each: `Limiters.of(account, region, api)`.
What AWS itself allows, 2 requests a second of LookupEvents for instance, it allows to all who ask together:
these buckets lie in files that the processes of a machine share (`shared`). Processes on other machines, or
in other containers, are not seen; so whoever is throttled asks more slowly, and gains a little with each
request: all who share a quota come to like parts of it, as TCP's connections do of a link (`YieldingBucket`).
"""

import fcntl
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sources.aws import telemetry
from sources.errors import SourceError, Transient
from transforms.locks import Guard, guarded

Clock = Callable[[], float]

_T = TypeVar("_T")

_MARGIN = 0.8
"""Of AWS's rates: requests may come a quarter of a second late or early, and no second has one too many."""

_HORIZON_SECONDS = 900.0
"""A shared turn further away than this was left by a former boot of the machine."""

_LATE = 0.1
"""Part of the gap between two turns by which one may be late."""

_GAIN = 0.0007
"""Part of the whole rate that a request adds: small, so that few are refused while fifty share it."""

_CUT, _LEAST_PART, _LONGEST_CUT_SECONDS = 0.7, 1 / 512, 30.0

_YIELDING_LOCKS = (Guard("_lock", ("rate", "_next", "_cut_at"), read_freely=True),)
_BUCKET_LOCKS = (Guard("_lock", ("_next",)),)
_LOCKS = (Guard("_lock", ("_made",)),)


class Limiter(Protocol):
    """Something that gives turns."""

    def reserve(self) -> float:
        """Take the next turn and return the seconds until it comes; never waits."""

    def wait(self, drain: threading.Event) -> bool:
        """Take the next turn and wait for it; False when `drain` was set meanwhile (do not ask AWS then)."""


@guarded(_BUCKET_LOCKS)
class Bucket:
    """At most `burst` requests at once and `per_second` in the long run, within this process.

    per_second: 0 or less means unlimited.
    """

    def __init__(self, per_second: float, burst: float = 1, clock: Clock = time.monotonic) -> None:
        self._gap = 1 / per_second if per_second > 0 else 0.0
        self._slack = self._gap * (max(burst, 1) - 1)
        self._clock = clock
        self._next = 0.0
        self._lock = threading.RLock()

    def reserve(self) -> float:
        """Take the next turn and return the seconds until it comes."""
        with self._lock:
            wait, self._next = turn(self._clock(), self._next, self._gap, self._slack)
        return wait

    def wait(self, drain: threading.Event) -> bool:
        """Take the next turn and wait for it; False when `drain` was set meanwhile."""
        return not drain.wait(self.reserve())


@guarded(_YIELDING_LOCKS)
class YieldingBucket:
    """Less than `per_second` while others use the same quota: as fast as AWS does not refuse; else no limit.

    A request adds a little to the rate, a refusal takes a third, once for those that were under way together.
    """

    def __init__(self, per_second: float, clock: Clock = time.monotonic) -> None:
        self._most = self.rate = per_second
        self._clock = clock
        self._next, self._cut_at = 0.0, -_LONGEST_CUT_SECONDS
        self._lock = threading.RLock()

    def reserve(self) -> float:
        """Take the next turn and return the seconds until it comes."""
        with self._lock:
            self.rate = min(self.rate + self._most * _GAIN, self._most)
            if self.rate == self._most:
                return 0.0
            wait, self._next = turn(self._clock(), self._next, 1 / self.rate, 0.0)
        return wait

    def wait(self, drain: threading.Event) -> bool:
        """Take the next turn and wait for it; False when `drain` was set meanwhile."""
        return not drain.wait(self.reserve())

    def throttled(self) -> None:
        """Ask more slowly from now on."""
        with self._lock:
            now = self._clock()
            if now - self._cut_at >= min(1 / self.rate, _LONGEST_CUT_SECONDS):
                self.rate, self._cut_at = max(self.rate * _CUT, self._most * _LEAST_PART), now


class SharedBucket:
    """The same for all processes of this user on this machine that use the same name.

    name: what is shared, e.g. `LookupEvents 123456789012 eu-west-1`; it becomes a file's name.
    folder: where the file lies; by default one of the user's own in the temporary directory ($TMPDIR).
    Raises SourceError when that folder cannot be used.
    """

    def __init__(
        self,
        name: str,
        per_second: float,
        burst: float = 1,
        folder: Path | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._gap = 1 / per_second if per_second > 0 else 0.0
        self._slack = self._gap * (max(burst, 1) - 1)
        self._clock = clock
        self._path = (folder or own_folder()) / re.sub(r"[^\w.-]+", "_", name)

    def reserve(self) -> float:
        """Take the next turn of all processes and return the seconds until it comes."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _unusable(self._path, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            now = self._clock()
            wait, following = turn(now, _read(file, now), self._gap, self._slack)
            os.pwrite(file, f"{following:020.6f}".encode(), 0)
        finally:
            os.close(file)
        return wait

    def wait(self, drain: threading.Event) -> bool:
        """Take the next turn of all processes and wait for it; False when `drain` was set meanwhile.

        Whoever wakes too late gives the turn up for a new one: two late ones would go together.
        """
        while True:
            pause = self.reserve()
            due = self._clock() + pause
            if drain.wait(pause):
                return False
            if self._clock() - due <= self._gap * _LATE:
                return True


class SharedOrOwn:
    """A shared bucket while its file can be used, else one of this process: a squatted folder stops nobody.

    share: part of the rate that this process takes alone, since it cannot see what the others ask.
    """

    def __init__(self, name: str, per_second: float, share: float = 0.5) -> None:
        self._name = name
        self._make = partial(SharedBucket, name, per_second)
        self._shared: SharedBucket | None = None
        self._own = Bucket(per_second * share)
        self._alone = False

    def reserve(self) -> float:
        """Take the next turn and return the seconds until it comes."""
        return self._usable(lambda one: one.reserve(), lambda one: one.reserve())

    def wait(self, drain: threading.Event) -> bool:
        """Take the next turn and wait for it; False when `drain` was set meanwhile."""
        return self._usable(lambda one: one.wait(drain), lambda one: one.wait(drain))

    def _usable(self, shared: Callable[[SharedBucket], _T], own: Callable[[Bucket], _T]) -> _T:
        try:
            self._shared = self._shared or self._make()
            turn_taken = shared(self._shared)
        except SourceError as error:
            if not self._alone:
                telemetry.limit_not_shared(self._name, error)
            self._shared, self._alone = None, True
            return own(self._own)
        self._alone = False
        return turn_taken


class Chain:
    """Several limits at once: the slowest decides. The last one's turn comes last, right before it."""

    def __init__(self, limiters: Sequence[Limiter]) -> None:
        self._limiters = tuple(limiters)

    def throttled(self) -> None:
        """Ask more slowly from now on, where a limiter can."""
        for limiter in self._limiters:
            throttled(limiter)

    def reserve(self) -> float:
        """Take a turn of each and return the seconds until the last of them comes."""
        return max((limiter.reserve() for limiter in self._limiters), default=0.0)

    def wait(self, drain: threading.Event) -> bool:
        """Wait for a turn of each, one after the other; False when `drain` was set meanwhile."""
        return all(limiter.wait(drain) for limiter in self._limiters)


def throttled(limiter: Limiter) -> None:
    """Tell a limiter that AWS has refused a request as one too many."""
    if isinstance(limiter, Chain | YieldingBucket):
        limiter.throttled()


class Paced:
    """Waits for a limiter before a boto3 client sends a request, retries included.

    hook: for the client's `before-send`; a client that many accounts share has it once, and waits for the
    limiter of whoever asks.
    """

    def __init__(self, limiter: Limiter, drain: threading.Event, where: str) -> None:
        self._limiter, self._drain, self._where = limiter, drain, where

    def call(self, method: Callable[..., _T], **asked: object) -> _T:
        """Ask AWS by a method of a client that has the hook."""
        before = _PACED.set(self)
        try:
            return method(**asked)
        finally:
            _PACED.reset(before)

    @staticmethod
    def hook(**_: Any) -> None:
        """Take a turn; raises Transient instead when the process drains."""
        _PACED.get().before()

    def before(self) -> None:
        """Take a turn; raises Transient instead when the process drains."""
        if not self._limiter.wait(self._drain):
            raise Transient("not asked", self._where, "the process drains")


_PACED: ContextVar[Paced] = ContextVar("paced")


@guarded(_LOCKS)
class Limiters:
    """One limiter for each account, region and API, made on first use by `make(account, region, api)`."""

    def __init__(self, make: Callable[[str, str, str], Limiter]) -> None:
        self._make = make
        self._made: dict[tuple[str, str, str], Limiter] = {}
        self._lock = threading.RLock()

    def of(self, account: str, region: str, api: str) -> Limiter:
        """Return the limiter of one API in one account and region, always the same one."""
        with self._lock:
            key = (account, region, api)
            if key not in self._made:
                self._made[key] = self._make(account, region, api)
            return self._made[key]


def allowed(rates: Mapping[str, float], region: str, api: str) -> float:
    """Return at which rate an API may be asked in a region, 0 = any.

    rates: API, or `API region` → requests a second that AWS allows.
    """
    return _MARGIN * rates.get(f"{api} {region}", rates.get(api, 0))


def shared(rates: Mapping[str, float]) -> Limiters:
    """Return one bucket per account, region and API, of all processes of this machine, see `allowed`."""

    def make(account: str, region: str, api: str) -> Limiter:
        rate = allowed(rates, region, api)
        return Chain((YieldingBucket(rate), SharedOrOwn(f"{api} {account} {region}", rate)) if rate else ())

    return Limiters(make)


def own(rates: Mapping[str, float]) -> Limiters:
    """Return the same for this process alone: nobody else asks for its targets, and files would be many."""

    def make(_account: str, region: str, api: str) -> Limiter:
        rate = allowed(rates, region, api)
        return Chain((YieldingBucket(rate), Bucket(rate)) if rate else ())

    return Limiters(make)


def turn(now: float, following: float, gap: float, slack: float) -> tuple[float, float]:
    """Return the seconds until the next turn, and when the one after it comes; all in seconds.

    following: when the next turn comes in the long run. slack: how far a burst may run ahead of it.
    """
    slot = max(following, now)
    return max(slot - slack - now, 0.0), slot + gap


def _read(file: int, now: float) -> float:
    """Return when the next turn comes by the file; now when it is empty, torn or of a former boot."""
    try:
        following = float(os.pread(file, 64, 0) or b"0")
    except ValueError:
        return now
    return following if following < now + _HORIZON_SECONDS else now


def own_folder() -> Path:
    """Return this user's folder for shared limits; nobody else may write there."""
    folder = Path(tempfile.gettempdir()) / f"devo-aws-collector-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _unusable(folder, error) from error
    if found.st_uid != os.getuid() or folder.is_symlink() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(folder, PermissionError("it belongs to somebody else"))
    return folder


def _unusable(path: Path, error: OSError) -> SourceError:
    reason = error.strerror or error
    return SourceError(
        f"shared request limit cannot be kept ({reason})", str(path), "set TMPDIR to a folder of one's own"
    )
