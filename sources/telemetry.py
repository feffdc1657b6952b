"""Named events of the sources: each writes its log line and moves its metrics together, those by place too.

What stops many targets for one cause is told once, by the first of them (see `error_deduplicator.py`).
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sources import metric_scopes
from sources.error_deduplicator import ErrorDeduplicator, Who
from sources.errors import SourceError, Transient
from sources.metric_scopes import MetricScope, ScopeOwner
from transforms.telemetry import add, say, total

CAUSES = ErrorDeduplicator()

NEAR = 0.8
"""Part of the reach beyond which a lateness is worth a warning."""


def loud(error: Exception, who: Who, *, otherwise: bool) -> int:
    """Return the level to tell a failure at: a warning for the first with its cause, or as it is without."""
    cause = error.cause if isinstance(error, SourceError) else ""
    first = CAUSES.first(cause, who) if cause else otherwise
    return logging.WARNING if first else logging.DEBUG


def over(cause: str, who: Who) -> int:
    """Return the level to tell a recovery at: quiet where the failure was."""
    return logging.INFO if not cause or CAUSES.over(cause, who) else logging.DEBUG


# who asks


def identity_failed(where: str, error: SourceError) -> None:
    """Log that an identity is absent or refused: a warning when that begins; it is asked again for ever.

    Whatever waits for it fails with the same cause, and is quiet.
    """
    say(loud(error, ("identity", where), otherwise=False), "identity_failed", where=where, error=error)


def identity_recovered(where: str, cause: str) -> None:
    """Log that an identity is there again. cause: of its last failure."""
    say(over(cause, ("identity", where)), "identity_recovered", where=where)


def identity_renewed(where: str, why: str) -> None:
    """Log that AWS called keys over before their time, and that new ones were there to go on with."""
    say(logging.INFO, "identity_renewed", where=where, why=why)


# what is pulled


def events_dropped(service: str, rule: str, count: int) -> None:
    """Count events that the configuration leaves out. rule: `drop_event_names`, `line_filter_rules[0]` …."""
    add("events_dropped", "Events left out by the configuration, by rule", count, service=service, rule=rule)
    say(logging.DEBUG, "events_dropped", service=service, rule=rule, count=count)


_PULLED = {
    "polls": "polls",
    "receives": "receives",
    "failures": "poll_failures",
    "events": "source_events",
    "dropped": "events_dropped",
}
"""Field of the totals → counter."""


_PULLING: Counter[str] = Counter()
_COUNTING = threading.Lock()


def lane_joined(service: str, owner: ScopeOwner, lanes: int) -> None:
    """Show how many lanes an input serves now, with one more; the first one begins to pull."""
    metric_scopes.lanes(service, owner, lanes)
    if lanes == 1:
        with _COUNTING:
            _PULLING[service] += 1


def lane_left(service: str, lanes: int) -> None:
    """Note that a lane is served no more; with the last of all inputs, tell what this process has pulled."""
    if lanes:
        return
    with _COUNTING:
        _PULLING[service] -= 1
        last = not _PULLING[service]
    if last:
        totals = {name: total(counter, service=service) for name, counter in _PULLED.items()}
        say(logging.INFO, "pull_totals", service=service, **{k: v for k, v in totals.items() if v})


# cursors


def cursors_not_durable(service: str) -> None:
    """Warn that positions live in memory only."""
    say(
        logging.WARNING,
        "cursors_not_durable",
        service=service,
        what="no recovery directory: positions are lost when this process ends",
        hint="start with `flows run`, or give bytewax -r DIR",
    )


def cursors_reset(service: str, before: str, after: str) -> None:
    """Log that the configuration asked to begin anew."""
    told = {"what": "start_time changed", "before": before, "after": after}
    say(logging.WARNING, "cursors_reset", service=service, **told)


def ids_forgotten(service: str, target: str, most: int) -> None:
    """Warn, once a target, that events which are read once more may be sent twice."""
    if CAUSES.first(f"ids of {service} {target}", (service, target)):
        say(logging.WARNING, "ids_forgotten", service=service, target=target, remembered=most)


def ids_not_kept(service: str, error: SourceError) -> None:
    """Warn that `flows recheck` will not be able to look at what is collected now."""
    say(loud(error, (service, "ids"), otherwise=True), "ids_not_kept", service=service, error=error)


def targets_changed(service: str, new: int, gone: int, total: int) -> None:
    """Log what a listing of targets found."""
    say(logging.INFO, "targets_changed", service=service, new=new, gone=gone, total=total)


class FailureStreak(NamedTuple):
    """failures: in a row. pause: seconds to the next try. targets: of its place that fail, 0 = unknown."""

    failures: int
    pause: float = 0
    targets: int = 0


def poll_failed(where: MetricScope, target: str, error: SourceError, streak: FailureStreak) -> None:
    """Log a failed poll: a warning the first time it is more than a hiccup, then quietly."""
    kind = type(error).__name__
    add("poll_failures", "Polls that failed, by kind", service=where.service, kind=kind)
    begins = streak.failures == (5 if isinstance(error, Transient) else 1)
    say(
        loud(error, (where.service, target), otherwise=begins),
        "poll_failed",
        service=where.service,
        target=target,
        error=error,
        failures=streak.failures,
        again_in_seconds=round(streak.pause),
    )
    if streak.targets:
        metric_scopes.failing(where, error, streak.targets, streak.pause)


def polled(where: MetricScope, target: str, account: str, events: int, pages: int) -> None:
    """Count a poll that came to its end."""
    service = where.service
    add("polls", "Polls that came to their end", service=service)
    say(logging.DEBUG, "polled", service=service, target=target, account=account, events=events, pages=pages)


def read_late(where: MetricScope, target: str, counts: Mapping[str, int], most: float, reach: float) -> None:
    """Count events by how late they became visible; warn when one came near the reach (seconds)."""
    metric_scopes.late(where, counts)
    if most > reach * NEAR and CAUSES.first(f"lateness of {where.service} {target}", (where.service, target)):
        say(
            logging.WARNING,
            "lateness_near_reach",
            service=where.service,
            target=target,
            lateness_seconds=round(most),
            reach_seconds=round(reach),
            hint="the reach grows by itself up to max_reach_seconds; `flows recheck` finds what came later",
        )


def poll_recovered(where: MetricScope, target: str, cause: str, failing: int = 0) -> None:
    """Log that a target that failed works again. cause: of its last failure. failing: others still."""
    say(over(cause, (where.service, target)), "poll_recovered", service=where.service, target=target)
    metric_scopes.well(where, failing)


def target_unreadable(service: str, target: str, reason: str) -> None:
    """Warn that something listed cannot be read by its API and is left out."""
    say(logging.WARNING, "target_unreadable", service=service, target=target, reason=reason)


def metric_data_denied(service: str, target: str, error: SourceError) -> None:
    """Warn that metrics are read one by one."""
    say(
        logging.WARNING,
        "metric_data_denied",
        service=service,
        target=target,
        error=error,
        what="one GetMetricStatistics call per metric instead of one GetMetricData per hundred",
    )


def start_clamped(service: str, target: str, asked: str, used: str, reason: str) -> None:
    """Warn that a position lies before what the API still knows."""
    told = {"asked": asked, "used": used, "reason": reason}
    say(logging.WARNING, "start_clamped", service=service, target=target, **told)


# leases

_LOST = ("leases_lost", "Leases that ended before their message was settled")
_REPEATED = ("objects_repeated", "Notices of objects that were collected before")
_JOURNAL = ("journal_failures", "Writes of the journal that failed")


def leasing(service: str) -> None:
    """Let what may never happen begin at zero: the first time is a change only then."""
    for rare in (_LOST, _REPEATED, _JOURNAL):
        add(*rare, 0, service=service)


def lease_received(service: str, where: str, count: int) -> None:
    """Count messages received by one request."""
    add("receives", "Receives that brought messages", service=service)
    add("leases_received", "Messages received", count, service=service)
    say(logging.DEBUG, "received", service=service, where=where, count=count)


def lease_extended(service: str, count: int) -> None:
    """Count leases kept alive at half their time."""
    add("leases_extended", "Leases extended at half time", count, service=service)


def leases_ended(service: str, count: int, *, deleted: bool) -> None:
    """Count messages deleted after their receipt, or given back to their queue."""
    if deleted:
        add("leases_settled", "Messages deleted, all their events receipted", count, service=service)
    else:
        add("leases_given_back", "Messages given back to their queue", count, service=service)


def leases_lost(service: str, queue: str, count: int, why: str) -> None:
    """Warn that leases ended before their messages were settled: their events may come twice."""
    add(*_LOST, count, service=service)
    say(logging.WARNING, "leases_lost", service=service, queue=queue, count=count, why=why)


def extend_failed(service: str, queue: str, error: SourceError) -> None:
    """Warn that leases could not be extended just now; the next pulse tries again."""
    level = loud(error, (service, "extend"), otherwise=True)
    say(level, "extend_failed", service=service, queue=queue, error=error)


def settle_failed(service: str, queue: str, count: int, error: SourceError) -> None:
    """Warn that messages could not be deleted or given back: they come again and are recognised if done."""
    add("settle_failures", "Messages that could not be deleted or given back", count, service=service)
    level = loud(error, (service, "settle"), otherwise=True)
    say(level, "settle_failed", service=service, queue=queue, count=count, error=error)


def journal_failed(service: str, error: SourceError) -> None:
    """Log that the journal cannot be written, once for all services: nothing is deleted meanwhile."""
    add(*_JOURNAL, service=service)
    say(loud(error, (service, "journal"), otherwise=False), "journal_failed", service=service, error=error)


def journal_recovered(service: str, cause: str) -> None:
    """Log that the journal can be written again. cause: of its last failure."""
    say(over(cause, (service, "journal")), "journal_recovered", service=service)


def receive_failed(where: MetricScope, queue: str, error: SourceError, pause: float, failures: int) -> None:
    """Log that a queue cannot be read: a warning when that begins, then quietly."""
    service, kind = where.service, type(error).__name__
    add("receive_failures", "Receives that failed, by kind", service=service, kind=kind)
    begins = failures == (3 if isinstance(error, Transient) else 1)
    say(
        loud(error, (service, queue), otherwise=begins),
        "receive_failed",
        service=service,
        error=error,
        failures=failures,
        again_in_seconds=round(pause, 1),
    )
    metric_scopes.failing(where, error, again=pause)


def source_recovered(where: MetricScope, queue: str, cause: str) -> None:
    """Log that a queue that failed can be read again. cause: of its last failure."""
    say(over(cause, (where.service, queue)), "source_recovered", service=where.service, where=queue)
    metric_scopes.well(where)


def source_backing_off(service: str, where: str, pause: float, rests: int) -> None:
    """Log that receiving rests because nothing received lately could be opened: when that begins."""
    say(
        logging.WARNING if rests == 1 else logging.DEBUG,
        "source_backing_off",
        service=service,
        where=where,
        why="what was received lately could not be opened; see fetch_failed",
        seconds=round(pause, 1),
    )


def fetch_failed(where: MetricScope, reason: str, error: Exception, delay: int, receives: int) -> None:
    """Log that a message goes back because what it stands for could not be had."""
    service = where.service
    add("fetch_failures", "Messages that could not be opened, by reason", service=service, reason=reason)
    level = loud(error, (service, "fetch"), otherwise=reason != "object_busy")
    say(
        logging.ERROR if reason == "defect" else level,
        "fetch_failed",
        service=service,
        reason=reason,
        error=error if isinstance(error, SourceError) else f"{type(error).__name__} {error}",
        receives=receives,
        again_in_seconds=delay,
    )
    if isinstance(error, SourceError) and reason != "object_busy":
        metric_scopes.object_failed(where, error, delay)


def cause_changed(service: str, cause: str, *, failing: bool) -> None:
    """Warn that nothing can be read of a bucket or region, see fetch_failed, or tell that it can again."""
    add("causes_failing", "Buckets and regions that nothing could be read of", int(failing), service=service)
    event, level = ("cause_failing", logging.WARNING) if failing else ("cause_recovered", logging.INFO)
    say(level, event, service=service, cause=cause)


def lease_bounced(service: str) -> None:
    """Count a message given back unopened."""
    add("leases_bounced", "Messages given back unopened: bucket or region in trouble", service=service)


def notice_ignored(service: str, reason: str) -> None:
    """Count what a notice says that holds no data: test events, deletions, keys that a filter leaves out."""
    add("notices_ignored", "Notices settled without data, by reason", service=service, reason=reason)
    say(logging.DEBUG, "notice_ignored", service=service, reason=reason)


def notice_unknown(service: str, where: str, why: str) -> None:
    """Warn that a message goes to quarantine because its form is unknown."""
    say(logging.WARNING, "notice_unknown", service=service, where=where, why=why)


def bucket_unexpected(service: str, where: str, why: str) -> None:
    """Warn that a message goes to quarantine because it names a bucket that is none of the service's."""
    say(
        logging.WARNING,
        "bucket_unexpected",
        service=service,
        where=where,
        why=why,
        hint="if it is to be read, add it to buckets of the service, then replay the quarantine",
    )


def buckets_open(service: str, where: str) -> None:
    """Log that nothing says which buckets a queue is for: whoever can send to it may name any."""
    say(
        logging.INFO,
        "buckets_open",
        service=service,
        where=where,
        what="objects of any bucket that a message names are read",
        hint="name the service's buckets: buckets: [NAME, NAME/PREFIX]; check says more",
    )


def object_repeated(service: str) -> None:
    """Count notices of objects that were collected before."""
    add(*_REPEATED, service=service)


def versions_denied(service: str, error: SourceError) -> None:
    """Warn, once for an identity, that announced versions may not be asked for: it reads what is current."""
    say(
        loud(error, (service, "versions"), otherwise=True),
        "versions_denied",
        service=service,
        error=error,
        then="read without version where it is the current one",
    )


def state_unknown(service: str, where: str, version: object) -> None:
    """Warn that a snapshot is of another release: objects that were half emitted then come twice."""
    say(
        logging.WARNING,
        "state_unknown",
        service=service,
        where=where,
        version=version,
        hint="nothing is lost; objects begun before come again from their start",
    )
