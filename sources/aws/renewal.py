"""Credentials that renew themselves: well before they end, and at once when AWS calls them over.

One rule for every identity, a role's session or whatever this machine gives: who signs gets what is held.
When its end comes near, one thread fetches anew and the others go on with the old; when it has come, all wait
for the new. What cannot be fetched is asked for again as often as somebody wants to sign, but its source at
most once in `MIN_INTERVAL_SECONDS`: all others get the same answer, and an outage costs nothing while the old
ones last.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import ReadOnlyCredentials
from msgspec import Struct

from sources import telemetry
from sources.errors import BadCredentials, SourceError
from transforms.locks import Guard, guarded

_LOCKS = (
    Guard("_lock", ("_refusal", "_until", "_renewed", "_why", "_last", "_told")),
    Guard("_lock", ("_now",), read_freely=True),
)
"""`_now` is a value that never changes: who signs takes the one that is held."""

MIN_INTERVAL_SECONDS = 5.0
"""Many calls learn at once that a session has ended, or cannot begin: its source is asked once in it."""

_EARLY, _LAST = timedelta(seconds=900), timedelta(seconds=60)
_JITTER = random.SystemRandom()

Clock = Callable[[], datetime]
"""Tells the present moment, aware: what sessions are renewed by."""


class SessionKeys(Struct, frozen=True):
    """What requests are signed with. token: "" = none. ends: aware, None = never."""

    access_key: str
    secret_key: str
    token: str = ""
    ends: datetime | None = None


_SIGNS = re.compile(r"[!-~]+")
"""What keys and tokens are written in: what else is in them breaks the header that bears them."""


def usable(keys: SessionKeys, where: str) -> SessionKeys:
    """Return keys without the white space around them. Raises BadCredentials for what cannot sign."""
    given = keys.access_key, keys.secret_key, keys.token
    key, secret, token = (one.strip() if isinstance(one, str) else one for one in given)
    named = {"access key": key, "secret key": secret, **({"session token": token} if token else {})}
    for name, value in named.items():
        if not isinstance(value, str) or not _SIGNS.fullmatch(value):
            what = f"{name} is empty, or has characters that none has"
            hint = "see how it was written where it comes from: a line break, an accent, quotes"
            raise BadCredentials(what, where, hint, cause=where)
    return SessionKeys(key, secret, token or "", keys.ends)


class _Held(Struct, frozen=True):
    """Keys in use. early: from when on one thread renews them; late: from when on all wait for that."""

    keys: ReadOnlyCredentials
    early: datetime | None = None
    late: datetime | None = None


def _held(keys: SessionKeys, now: datetime) -> _Held:
    """Return keys with their times: a part of what is left of them, each its own, so that many spread."""
    signer = ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.token or None)
    if keys.ends is None:
        return _Held(signer)
    left = max(keys.ends - now, timedelta())
    early = min(_EARLY, left / 4) * _JITTER.uniform(1, 2)
    return _Held(signer, keys.ends - early, keys.ends - min(_LAST, left / 6))


class RefusalEvents(Struct, frozen=True):
    """The named events of who cannot sign: that it begins, whose identity and why, and that it is over."""

    failed: Callable[[str, SourceError], None] = telemetry.identity_failed
    recovered: Callable[[str, str], None] = telemetry.identity_recovered


_IDENTITY = RefusalEvents()


@guarded(_LOCKS)
class RenewedCredentials(BotocoreCredentials):  # type: ignore[misc]
    """botocore's credentials whose keys come from `fetch`, each time that new ones are needed. Thread-safe.

    fetch: raises SourceError. where: whose they are, for messages. interval: seconds in which a source that
    refuses is asked once at most. tell: the events. Making one fetches nothing.
    """

    def __init__(
        self,
        fetch: Callable[[], SessionKeys],
        where: str,
        clock: Clock,
        interval: float = 0.0,
        tell: RefusalEvents = _IDENTITY,
    ) -> None:
        super().__init__("", "", method="collector")
        self.where, self._fetch, self._clock, self._interval = where, fetch, clock, interval
        self._tell = tell
        self._lock = threading.RLock()
        self._now: _Held | None = None
        self._refusal: SourceError | None = None
        self._until = 0.0
        self._renewed = -MIN_INTERVAL_SECONDS
        self._why = self._last = ""
        self._told = False

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return keys to sign with now. Raises SourceError when there are none."""
        held, now = self._now, self._clock()
        if held and (held.early is None or now < held.early):
            return held.keys
        if held and held.late and now < held.late:
            if self._lock.acquire(blocking=False):
                try:
                    return self._fresh(held)
                finally:
                    self._lock.release()
            return held.keys  # somebody is renewing them
        with self._lock:
            return self._fresh(None)

    def renew(self, why: str = "") -> None:
        """Let the next signature fetch new keys; why: what AWS said of those in use, for the log."""
        with self._lock:
            if time.monotonic() - self._renewed >= MIN_INTERVAL_SECONDS:
                self._renewed, self._why = time.monotonic(), why or self._why
                self._now = None

    def _fresh(self, old: _Held | None) -> ReadOnlyCredentials:
        """Return keys that another thread has fetched meanwhile, or new ones; `old` when there are none."""
        held, now = self._now, self._clock()
        if held and held is not old and (held.early is None or now < held.early):
            return held.keys
        try:
            self._now = held = self._fetched()
        except SourceError as error:
            if old is None:
                if not self._told:
                    self._told = True
                    self._tell.failed(self.where, error)
                raise
            held = old
        return held.keys

    def _fetched(self) -> _Held:
        """Fetch keys; what failed just now fails again without asking."""
        if self._refusal is not None and time.monotonic() < self._until:
            raise self._refusal.again()
        try:
            keys = usable(self._fetch(), self.where)
        except SourceError as error:
            pause = max(self._interval, MIN_INTERVAL_SECONDS)
            self._refusal, self._until = error.again(), time.monotonic() + pause
            raise
        if self._told:
            self._told = False
            self._tell.recovered(self.where, self._refusal.cause if self._refusal else "")
        elif self._why and self._last not in ("", keys.access_key):
            telemetry.identity_renewed(self.where, self._why)
        self._refusal, self._why, self._last = None, "", keys.access_key
        return _held(keys, self._clock())
