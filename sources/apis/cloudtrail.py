"""CloudTrail's LookupEvents: the management events of the last 90 days of a region, without a trail.

Parallel unit: a region (and its Insight events, when asked for, as a second one). Guarantee: at least once,
for everything that LookupEvents shows within settle + overlap of its time. Resume: in the middle of a
window, from the oldest event emitted. Cost: one request per 50 events, at most 2 a second per account and
region whoever asks; free of charge.

AWS says that CloudTrail delivers "within an average of about 5 minutes", not guaranteed; until 2023 it said
15. So each window is read up to a minute ago (settle) and reaches 15 minutes back into the former one
(overlap), further where events have come later (`ReachRule`); repeats are dropped by EventId. Windows grow up
to an hour when there is something to catch up, and then the overlap costs a quarter more requests instead of
three times as many. How late an event was is not told: one that was not there when its time was read the
last time counts as late as it is old.

The answer comes newest first: the window counts as done with its last page only. Until then the state
says how far down its pages have come (`upto`), and a crash or an expired token goes on from there: what
arrives late above that line lies in the overlap of the next window.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from sources import telemetry
from sources.apis.api import Api, Forgotten, Operation, fingerprint
from sources.apis.poll import Page, Position, State, Target, restored, stored
from sources.apis.window import (
    Lateness,
    Reach,
    ReachRule,
    Seen,
    Window,
    behind,
    late_events,
    next_window,
    now_ms,
    to_datetime,
    to_ms,
)
from sources.aws.account import Account
from sources.aws.limiter import Limiters
from sources.errors import SourceError
from transforms.block import Block, Item, Origin, Poison

RATES = {"LookupEvents": 2.0}
"""Requests a second of an account in a region, whoever asks (API reference of LookupEvents); never raised."""

DAYS_KEPT = 90
_DAY = 86_400_000
_MARGIN = 300_000
"""Of the 90 days, for the time between asking and being answered."""

_MOST_IDS = 100_000
"""Of a region, some 22 MB; AWS gives no more in the 16 minutes that are read once more by default. Of more, a
reach that has grown goes no further back than they do; within the configured one the oldest are forgotten."""

_PAGE = 50
_API = "LookupEvents"
_LOOKUP: Operation[Any] = Operation(_API, "Events", lambda client: client.lookup_events)


class LookupOptions(Struct, frozen=True):
    """What the service may choose. start: epoch ms of the first event wanted, None = from now on.

    insights: collect Insight events too. settle, overlap and span: see `window.Reach`, in seconds.
    max_reach: up to which settle + overlap follow the lateness of events, in seconds.
    service: name in the catalogue.
    """

    regions: tuple[str, ...]
    start: int | None = None
    insights: bool = False
    period_seconds: float = 300
    settle_seconds: int = 60
    overlap_seconds: int = 900
    span_seconds: int = 3600
    max_reach_seconds: int = 21_600
    service: str = "audits_api"


class LookupPosition(Position, frozen=True, kw_only=True):
    """Where a region stands; times in epoch ms.

    first: of the first event wanted. done: end of the last whole window. final: where the next one begins
    (0 = the overlap before `done`). seen: EventId → its time. late: how late events are.
    Within a window also window, upto: the oldest second read, and following: where the next one will begin.
    """

    VERSION: ClassVar[int] = 2

    first: int = field(name="from")
    done: int
    final: int = 0
    seen: dict[str, int]
    late: Lateness = Lateness()
    window: Window | None = None
    upto: int = 0
    following: int = 0


class LookupEvents:
    """The `Poll` of LookupEvents: one poll reads one window. State: `LookupPosition`."""

    def __init__(
        self,
        account: Account,
        options: LookupOptions,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name, self.period_seconds = options.service, options.period_seconds
        self._account, self._options, self._clock = account, options, clock
        self._api = Api[Any](account, "cloudtrail", limiters, drain, clock, each_request=True)
        self._reach = Reach(
            options.settle_seconds * 1000, options.overlap_seconds * 1000, options.span_seconds * 1000
        )
        least = self._reach.settle + self._reach.overlap
        self._rule = ReachRule(least, max(least, options.max_reach_seconds * 1000))
        self._forgotten = Forgotten(self.name)

    def targets(self) -> Iterable[Target]:
        """Return the regions; nothing is asked."""
        account = self._account.account_id
        for region in self._options.regions:
            yield Target(region, account, region)
            if self._options.insights:
                yield Target(f"{region}/insight", account, region, "insight")

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Read the rest of the window at hand, or the next one."""
        asked_at = self._clock()
        if not state and self._options.start is None and not self._api.told:
            moment = to_datetime(asked_at)  # "from now on" is meant by AWS's clock
            self._api.ask(
                target.region, _LOOKUP, target.region, MaxResults=_PAGE, StartTime=moment, EndTime=moment
            )
        now = self._api.by_aws(asked_at) // 1000 * 1000
        at = self._position(target, restored(LookupPosition, state, f"{self.name} {target.key}"), now)
        window = at.window or next_window(at.done, now, replace(self._reach, overlap=at.done - at.final))
        if window is None:
            if not state:
                yield Page((), stored(at))
            return
        start, upto = max(window.start, at.first), at.upto or window.end
        if start > upto:  # LookupEvents knows nothing of this window any more
            self._clamped(target, window.start, upto)
            yield Page((), stored(_after(at, window, Seen(at.seen), window.end)), again=True)
            return
        seen, reach = Seen(at.seen), self._rule.of(at.late)
        known = min(now, at.done + self._reach.settle + int(self.period_seconds * 1000))
        asked: dict[str, Any] = {"StartTime": to_datetime(start), "EndTime": to_datetime(upto)}
        if target.detail:
            asked["EventCategory"] = target.detail
        replies = self._api.pages(
            target.region, _LOOKUP, target.region, "NextToken", MaxResults=_PAGE, **asked
        )
        for reply in replies:  # newest first; the first one may tell that this machine's clock is ahead
            settled = self._api.by_aws(asked_at) // 1000 * 1000 - self._reach.settle
            window = Window(window.start, max(at.done, min(window.end, settled)))
            back = (window.end - (reach - self._reach.settle)) // 1000 * 1000
            least, final = window.end - self._reach.overlap, at.following or max(window.start, back)
            events, last = [_told(event, upto) for event in reply["Events"]], not reply.get("NextToken")
            times = [to_ms(event["EventTime"]) for event in events]
            pairs = zip(events, times, strict=True)
            fresh = [(event, ms) for event, ms in pairs if seen.add(event["EventId"], ms)]
            late = late_events([max(0, known - ms) if ms < at.done else 0 for _, ms in fresh], reach)
            seen, final = self._bounded(target, seen, final, least)
            at = replace(at, late=self._rule.after(at.late, late.most, now))
            items, repeats = tuple(self._items(target, [one for one, _ in fresh])), len(events) - len(fresh)
            ids_of = {event["EventId"]: ms for event, ms in fresh}
            if last:
                after = _after(at, window, seen, final)
                again = behind(window.end, now, self._reach)
                yield Page(items, stored(after), again, window.end, repeats, late, ids_of)
            else:
                if times == sorted(
                    times, reverse=True
                ):  # else what lies above the oldest may be still to come
                    upto = min([upto, *(ms // 1000 * 1000 for ms in times)])
                seen = Seen({**seen.since(final), **seen.until(upto)})  # what may be read again
                at = replace(at, following=final)
                between = replace(at, window=window, upto=upto, seen=seen.since(0))
                yield Page(items, stored(between), upto=at.done, repeats=repeats, late=late, ids=ids_of)

    def _bounded(self, target: Target, seen: Seen, final: int, least: int) -> tuple[Seen, int]:
        """Return what is remembered, and where the next window begins: by `least` whatever is forgotten."""
        ids = seen.since(final)
        if len(ids) <= _MOST_IDS:
            return seen, final
        telemetry.ids_forgotten(self.name, target.key, _MOST_IDS)
        oldest = sorted(ids.values())[-_MOST_IDS]
        kept = {key: ms for key, ms in ids.items() if ms > oldest}
        return Seen({**kept, **seen.until(final - 1)}), max(final, min(oldest // 1000 * 1000, least))

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a finished range once more."""
        start, end = window.start // 1000 * 1000, window.end // 1000 * 1000
        if start < self._api.by_aws(self._clock()) - DAYS_KEPT * _DAY + _MARGIN:
            where = f"{_API} in {target.region}, {self._account.where}"
            hint = "choose a later --from; the trail's bucket has older events"
            raise SourceError(f"LookupEvents knows {DAYS_KEPT} days", where, hint)
        at = LookupPosition(first=start, done=end, final=start, seen=ids, window=Window(start, end))
        last_second = replace(at, upto=end - 1000)  # LookupEvents includes the second that it ends with
        yield from self.pages(target, stored(last_second))

    def _position(self, target: Target, at: LookupPosition | None, now: int) -> LookupPosition:
        """Return where to go on, never further back than LookupEvents knows."""
        start = target.begin(now) if self._options.start is None else self._options.start
        asked, oldest = (at.done if at else start), now - DAYS_KEPT * _DAY + _MARGIN
        begin = max(oldest, asked // 1000 * 1000)
        if asked < oldest and (at is None or at.window is None):
            self._clamped(target, asked, oldest)
        if at is None:
            return LookupPosition(first=begin, done=begin, final=begin, seen={})
        final = at.final or at.done - self._reach.overlap
        return replace(at, first=max(at.first, oldest), done=begin, final=min(final, begin))

    def _clamped(self, target: Target, asked: int, used: int) -> None:
        """Tell once that what is older than LookupEvents knows is not read."""
        reason = f"LookupEvents knows {DAYS_KEPT} days; older events are in the trail's bucket only"
        self._forgotten.clamped(target.key, asked, used, reason)

    def _items(self, target: Target, events: Iterable[Any]) -> Iterator[Item]:
        origin = Origin(self.name, target.account, target.region, _API)
        lines: list[bytes] = []
        for event in events:
            try:
                lines.append(compact(event["CloudTrailEvent"]))
            except (KeyError, AttributeError, msgspec.DecodeError) as error:
                detail = f"event {event['EventId']} without readable CloudTrailEvent ({error})"
                body = json.dumps(event, default=str, separators=(",", ":")).encode()
                yield Poison("event_broken", detail, origin, body)
        if lines:
            yield Block(b"".join(lines), len(lines), origin)


def _told(event: Any, upto: int) -> Any:
    """Return an event with its id and time, both of which AWS's model calls optional."""
    if "EventId" in event and "EventTime" in event:
        return event
    return {"EventId": fingerprint(*sorted(event.items())), "EventTime": to_datetime(upto), **event}


def _after(at: LookupPosition, window: Window, seen: Seen, final: int) -> LookupPosition:
    """Return the position after a whole window; the next one begins at `final`."""
    return LookupPosition(first=at.first, done=window.end, final=final, seen=seen.since(final), late=at.late)


def compact(text: str) -> bytes:
    """Return a JSON text as one line: its own bytes unless it was printed over several.

    Raises msgspec.DecodeError when it is no JSON, as far as that was looked at, or nothing.
    """
    raw = text.encode(errors="backslashreplace")  # half a surrogate pair becomes its own JSON escape again
    if not raw.strip():
        raise msgspec.DecodeError("it is empty")
    if "\n" in text or "\r" in text:
        raw = msgspec.json.format(raw, indent=-1)
    return raw + b"\n"
