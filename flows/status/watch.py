"""One state made of figures, events, history and liveness: what `/status.json` answers and the page shows."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict
from prometheus_client import REGISTRY, generate_latest

from flows.status.event_status import IDENTITY, JOURNAL, EventStatus, Failure, OutputStatus, iso, told
from flows.status.history import History
from flows.status.liveness import Liveness
from flows.status.machine import Machine
from flows.status.metrics_snapshot import MetricsSnapshot, figures
from flows.status.recent import Recent
from flows.status.words import source_name
from sinks.devo import Process
from sources.metric_scopes import MetricScope

_TAGS, _LINES = 50, 20
_FORGET_SECONDS = 3600.0
"""How long an error is shown that does not last."""


class Facts(Struct, frozen=True):
    """What does not change while the process runs. places: those of the configuration.

    kept: files that quarantine held at the start, by reason. money: tells what was spent.
    """

    name: str
    version: str
    process: Process
    places: Sequence[MetricScope]
    quarantine: str
    started: float
    kept: Mapping[str, int] = {}
    money: Callable[[], Mapping[str, Any]] = dict


class Watch(Struct):
    """All that is known of the running collector. clock: epoch seconds. read: the figures of now."""

    facts: Facts
    liveness: Liveness
    event_status: EventStatus
    history: History = field(default_factory=History)
    recent: Recent = field(default_factory=Recent)
    machine: Machine = field(default_factory=Machine)
    clock: Callable[[], float] = time.time
    read: Callable[[], MetricsSnapshot] = figures

    def tap(self, source: str) -> list[str]:
        """Return the events of a source that went out since this was first asked."""
        return self.liveness.outgoing.tap(source)

    def sample(self) -> None:
        """Let the history take a sample; called every ten seconds."""
        now = self.read()
        totals: dict[Hashable, float] = {
            place: now.of("source_events_total", place._asdict()) for place in self.places(now)
        }
        totals |= {
            name: now.sum("events_delivered_total", output=name) for name in self.event_status.outputs.copy()
        }
        seen = {place: now.of("read_up_to_timestamp_seconds", place._asdict()) for place in self.places(now)}
        lags: dict[Hashable, float] = {place: self._ago(at) or 0.0 for place, at in seen.items() if at}
        self.history.sample(time.monotonic(), totals, now.sum("source_events_total"), lags)

    def unhealthy_reason(self) -> str:
        """Return why the process is not well, "" = it is."""
        return self.liveness.unhealthy_reason()

    def unready(self) -> list[str]:
        """Return the outputs that were not reached, or are down."""
        return self.event_status.unready()

    def metrics(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(REGISTRY)

    def places(self, now: MetricsSnapshot) -> list[MetricScope]:
        """Return every place of the configuration, and those that it only implies (a region of an ARN)."""
        return sorted({*self.facts.places, *now.places(), *self.event_status.failures.copy()})

    def state(self, of: str = "") -> dict[str, Any]:
        """Return everything as plain data. of: the source that the charts are of, "" = all."""
        now, ill, unready = self.read(), self.unhealthy_reason(), self.unready()
        journal = self.event_status.journal
        return {
            "collector": {
                "name": self.facts.name,
                "version": self.facts.version,
                "process": asdict(self.facts.process),
                "started": iso(self.facts.started),
                "now": iso(self.clock()),
                "uptime_seconds": round(self.clock() - self.facts.started),
                "epoch_seconds_ago": self._ago(now.sum("epoch_timestamp_seconds")),
                **self.machine.look(),
            },
            "health": {"alive": not ill, "illness": ill, "ready": not unready, "unready": unready},
            "places": [self._place(place, now) for place in self.places(now)],
            "outputs": [
                self._output(name, one, now) for name, one in sorted(self.event_status.outputs.copy().items())
            ],
            "processes": [],
            "charted": of,
            "charts": self._charts(of, now),
            "tags": dict(self.liveness.outgoing.tags.most_common(_TAGS)),
            "recent": [
                {
                    "at": iso(one.at),
                    "level": one.level,
                    "event": one.event,
                    "text": one.text,
                    "count": one.count,
                }
                for one in list(self.recent.lines)[-_LINES:]
            ],
            "stopped": {
                **{
                    f"{IDENTITY}{where}": told(one, self.clock())
                    for where, one in [
                        *self.event_status.identities.copy().items(),
                        *self.event_status.accounts.copy().items(),
                    ]
                },
                **({f"{JOURNAL}{journal.where}": told(journal, self.clock())} if journal else {}),
            },
            "refused": told(self.event_status.refused, self.clock()),
            "quarantine": {
                "where": self.facts.quarantine,
                "items": sum(self.facts.kept.values()) + int(now.sum("poison_total")),
                "before": dict(self.facts.kept),
                "full": 0 < now.sum("quarantine_limit_bytes") <= now.sum("quarantine_bytes"),
                "by_reason": _by_reason(now, "poison_total"),
            },
            "certificates": {
                f"{labels['file']} of output {labels['output']}": round(days, 1)
                for labels, days in now.series("certificate_days")
            },
            "money": self.facts.money(),
            "not_read": self._not_read(now),
        }

    def _charts(self, of: str, now: MetricsSnapshot) -> dict[str, Any]:
        if not of:
            return self.history.charts()
        named = (place for place in self.places(now) if source_name(**place._asdict()) == of)
        return self.history.charts(next(named, None))

    def _not_read(self, now: MetricsSnapshot) -> dict[str, Any]:
        return {
            "missing": {
                labels["service"]: int(value) for labels, value in now.series("objects_missing_total")
            },
            "ignored": _by_reason(now, "notices_ignored_total"),
            "unsigned": _wrong(now),
            "untabled": _by_reason(now, "cloudtrail_table_missing_total", "event_source"),
            "dropped": _by_reason(now, "events_dropped_total", "rule"),
            "schema": dict(sorted(self.event_status.schema.copy().items())),
            "silent": {what: self._ago(since) for what, since in sorted(self.event_status.silent.items())},
            "open_queues": sorted(self.event_status.open_queues.copy()),
        }

    def _place(self, place: MetricScope, now: MetricsSnapshot) -> dict[str, Any]:
        labels = place._asdict()
        unit = {name: label for name, label in labels.items() if name != "region"}
        figure = {
            name: int(now.of(f"{name}{suffix}", labels))
            for name, suffix in (
                ("source_events", "_total"),
                ("events_repeated", "_total"),
                ("requests", "_total"),
                ("leases_held", ""),
                ("targets_failing", ""),
            )
        }
        return {
            **labels,
            "events_per_second": round(self.history.rate(place), 3),
            "curve": [round(one, 3) for one in self.history.curve(place)],
            **figure,
            "lag_seconds": self._ago(now.of("read_up_to_timestamp_seconds", labels)),
            "lateness_seconds": now.of("lateness_seconds", labels),
            "reach_seconds": now.of("reach_seconds", labels),
            "waiting": _known(now, "queue_messages", labels),
            "lanes": int(now.of("lanes", unit)),
            "prefetched_bytes": int(now.of("prefetched_bytes", unit)),
            "last_error": self._told(
                self.event_status.failures.get(place), lasts=figure["targets_failing"] > 0
            ),
        }

    def _output(self, name: str, output: OutputStatus, now: MetricsSnapshot) -> dict[str, Any]:
        held, limit = now.sum("window_bytes", output=name), now.sum("window_limit_bytes", output=name)
        return {
            "name": name,
            "type": output.type,
            "required": output.required,
            "ready": output.ready,
            "connected": output.connected,
            "strength": output.strength,
            "events_per_second": round(self.history.rate(name), 3),
            "curve": [round(one, 3) for one in self.history.curve(name)],
            "events_delivered": int(now.sum("events_delivered_total", output=name)),
            "events_missed": int(now.sum("events_missed_total", output=name)),
            "receipts": int(now.sum("receipts_total", output=name)),
            "receipt_seconds_ago": self._ago(now.sum("receipt_timestamp_seconds", output=name)),
            "receipt_took_seconds": round(now.sum("receipt_seconds", output=name), 3),
            "recovered_seconds_ago": self._ago(output.recovered_at),
            "retries": int(now.sum("delivery_retries_total", output=name)),
            "window": {
                "bytes": int(held),
                "limit_bytes": int(limit),
                "fill": round(held / limit, 4) if limit else 0.0,
            },
            "last_error": self._told(output.failure, lasts=not output.ready),
        }

    def _ago(self, moment: float) -> float | None:
        """Return the age of a moment, None when it never was."""
        return round(max(self.clock() - moment, 0.0), 1) if moment else None

    def _told(self, failure: Failure | None, *, lasts: bool) -> dict[str, Any] | None:
        """Return an error as data: as long as it lasts, and for an hour afterwards."""
        if failure is None or (not lasts and self.clock() - failure.at > _FORGET_SECONDS):
            return None
        return told(failure, self.clock())


def _known(now: MetricsSnapshot, name: str, labels: Mapping[str, str]) -> int | None:
    found = [value for _, value in now.series(name, **labels)]
    return int(sum(found)) if found else None


def _wrong(now: MetricsSnapshot) -> dict[str, int]:
    """Return what is not as CloudTrail signed it: digests and log files by result, account and region."""
    return {
        f"{labels['result']} of {labels['account']} {labels['region']} ({labels['service']})": int(value)
        for name in ("digests_total", "signed_log_files_total")
        for labels, value in now.series(name)
        if labels["result"] not in {"valid", "intact"}
    }


def _by_reason(now: MetricsSnapshot, name: str, label: str = "reason") -> dict[str, int]:
    """Return a counter by reason, or another label, and service."""
    return {f"{labels[label]} ({labels['service']})": int(value) for labels, value in now.series(name)}
