"""Named events by place: what dashboards and the status page show of each service, input and region.

Every one moves a figure whose labels are a `MetricScope`; all of them are bounded by the configuration. Their
log lines are those of `telemetry.py`: `poll_failed`, `receive_failed`, `polled`, `received` and so on.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sources.errors import SourceError
from transforms.block import Block, Item
from transforms.telemetry import add, gauge, notify, say


class ScopeOwner(NamedTuple):
    """Whom a source works for. input: its name. setting: its key under `services`, custom services' own."""

    input: str = ""
    setting: str = ""


NOBODY = ScopeOwner()

_REQUESTS = ("requests", "Requests for events: receives and API calls")
_EVENTS = ("source_events", "Events handed to the dataflow")
_REPEATED = ("events_repeated", "Events that came again and were left out")


class MetricScope(NamedTuple):
    """Whose figures. service: name in the catalogue. region: of the queue or API, "" = of none alone."""

    service: str
    input: str
    setting: str
    region: str


def place(service: str, owner: ScopeOwner, region: str) -> MetricScope:
    """Return the place of an owner's service in a region."""
    return MetricScope(service, *owner, region)


def expected(where: MetricScope) -> None:
    """Let a place's figures begin at zero, before anything was asked of it."""
    for counted in (_REQUESTS, _EVENTS, _REPEATED):
        add(*counted, 0, **where._asdict())
    _failing(where, 0)


def asked(where: MetricScope) -> None:
    """Count a request for events: a receive, or a call of an API, repeated calls included."""
    add(*_REQUESTS, **where._asdict())


class Counted:
    """A limiter that lets everything through at once and counts it: see `limiter.Limiter`."""

    def __init__(self, where: MetricScope) -> None:
        self._where = where

    def reserve(self) -> float:
        """Count a turn; it comes at once."""
        asked(self._where)
        return 0.0

    def wait(self, drain: threading.Event) -> bool:
        """Count a turn; False when `drain` is set."""
        self.reserve()
        return not drain.is_set()


def emitted(service: str, owner: ScopeOwner, lots: Iterable[tuple[str, Sequence[Item]]]) -> None:
    """Count what was handed to the dataflow. lots: region and items, regions in any order."""
    counts: Counter[str] = Counter()
    for region, items in lots:
        counts[region] += sum(item.count for item in items if isinstance(item, Block))
    for region, count in counts.items():
        if count:
            where = place(service, owner, region)
            add(*_EVENTS, count, **where._asdict())


def events_again(service: str, count: int) -> None:
    """Count events of messages that SQS has given before, to whoever did not delete them."""
    if count:
        help_text = "Events that may have been sent before, by reason: their message came again undeleted"
        add("repeated_events", help_text, count, service=service, reason="redelivered")


def repeated(where: MetricScope, count: int) -> None:
    """Count events that an API gave once more and that were left out."""
    if count:
        add(*_REPEATED, count, **where._asdict())


def read_up_to(where: MetricScope, seconds: float) -> None:
    """Show the moment (epoch seconds) before which nothing is missing here: what is younger is the lag.

    Of a queue: when the oldest message in hand was sent, else the last receive. Of an API: the position.
    """
    help_text = "Everything before this moment was taken (and of queues delivered)"
    gauge("read_up_to_timestamp_seconds", help_text, *where._fields).labels(*where).set(seconds)


def lateness(where: MetricScope, most: float, reach: float) -> None:
    """Show how late events became visible lately, and up to which lateness they are found; in seconds."""
    late_text = "How late the latest event of the last day or so became visible"
    reach_text = "Age up to which events that become visible late are found"
    gauge("lateness_seconds", late_text, *where._fields).labels(*where).set(most)
    gauge("reach_seconds", reach_text, *where._fields).labels(*where).set(reach)


def late(where: MetricScope, counts: Mapping[str, int]) -> None:
    """Count events by how late they became visible. counts: bound in seconds, "+Inf" → events up to it."""
    text = "Events by how late they became visible, up to `le` seconds"
    for bound, count in counts.items():
        if count:
            add("events_by_lateness", text, count, **where._asdict(), le=bound)


def held(where: MetricScope, count: int) -> None:
    """Show how many messages are leased and not yet deleted."""
    gauge("leases_held", "Messages in hand, not deleted yet", *where._fields).labels(*where).set(count)


def failing(where: MetricScope, error: SourceError, targets: int = 1, again: float = 0.0) -> None:
    """Show that targets of a place (queue, log groups …) fail, the last one with `error`; again: in s."""
    _failing(where, targets)
    notify("place_failed", place=where, error=error, again=again)


def well(where: MetricScope, failing_still: int = 0) -> None:
    """Show that a target works again. failing_still: others of the same place."""
    _failing(where, failing_still)
    if not failing_still:
        notify("place_recovered", place=where)


def object_failed(where: MetricScope, error: SourceError, again: float) -> None:
    """Tell that something of a queue could not be opened; it comes again in so many seconds."""
    notify("object_failed", place=where, error=error, again=again)


def _failing(where: MetricScope, targets: int) -> None:
    text = "Queues, log groups … that cannot be read at present"
    gauge("targets_failing", text, *where._fields).labels(*where).set(targets)


def lanes(service: str, owner: ScopeOwner, count: int) -> None:
    """Show how many of a service's lanes this process serves."""
    text = "Lanes of the service that this process serves"
    gauge("lanes", text, "service", *owner._fields).labels(service, *owner).set(count)


def prefetched(service: str, owner: ScopeOwner, size: int) -> None:
    """Show how many bytes wait for the dataflow."""
    text = "Bytes read that wait for the dataflow"
    gauge("prefetched_bytes", text, "service", *owner._fields).labels(service, *owner).set(size)


def pull_statistics(where: MetricScope, seconds: float, requests: int, repeated: int, sent: int) -> None:
    """Tell what a place has pulled in the last `seconds`, in Devo's terms, unless it is nothing.

    repeated: events that came again; `received` counts them too. sent: handed on to the outputs, what a
    filter then drops included.
    """
    if requests or repeated or sent:
        say(
            logging.INFO,
            "pull_statistics",
            **where._asdict(),
            requests=requests,
            received=repeated + sent,
            repeated=repeated,
            sent=sent,
            events_per_second=round(sent / seconds, 1) if seconds else 0,
            seconds=round(seconds),
        )
