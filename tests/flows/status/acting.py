"""A collector of figures only: what the status page shows of it is written down here."""

import time
from threading import Event

from flows.status.event_status import EventStatus
from flows.status.history import STEP_SECONDS, History
from flows.status.liveness import Liveness
from flows.status.metrics_snapshot import MetricsSnapshot
from flows.status.watch import Facts, Watch
from sinks.devo import Process
from sinks.errors import ConnectFailed
from sources.errors import Denied
from sources.metric_scopes import MetricScope

NOW = 1_800_000_000.0
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"
FLOW = MetricScope("flowlogs", "production", "non-cloudwatch-logs", "eu-west-1")
LOGS = MetricScope("logs", "production", "application-logs", "us-east-1")
FINDINGS = MetricScope("aws-guardduty", "second", "aws-guardduty", "eu-west-1")
PLACES = (FLOW, LOGS, FINDINGS)

DENIED = Denied("FilterLogEvents failed with AccessDenied", f"group {HOSTILE}", "allow logs:FilterLogEvents")
REFUSED = ConnectFailed("connection refused", "devo.example:443", "nothing listens there: check `port`")


def figures(**more: float) -> MetricsSnapshot:
    """Return figures of two places and one output; more: of the output, by metric name."""

    def one(place: MetricScope, value: float):
        return frozenset(place._asdict().items()), value

    output = frozenset({("output", "devo")})
    return MetricsSnapshot(
        {
            "source_events_total": dict([one(FLOW, 12_345), one(LOGS, 90)]),
            "events_repeated_total": dict([one(LOGS, 7)]),
            "requests_total": dict([one(FLOW, 40), one(LOGS, 12)]),
            "read_up_to_timestamp_seconds": dict([one(FLOW, NOW - 4), one(LOGS, NOW - 5000)]),
            "leases_held": dict([one(FLOW, 3)]),
            "targets_failing": dict([one(LOGS, 2)]),
            "lanes": {
                frozenset({("service", "flowlogs"), ("input", "production"), ("setting", FLOW.setting)}): 8
            },
            "poison_total": {frozenset({("reason", "object_broken"), ("service", "flowlogs")}): 2},
            "epoch_timestamp_seconds": {frozenset(): NOW - 1},
            **{name: {output: value} for name, value in more.items()},
        }
    )


def watch(**more: float) -> Watch:
    """Return a collector whose output is reached and takes everything."""
    facts = Facts("my collector", "1.2.3", Process(0, 1), PLACES, "/var/quarantine", NOW - 7300)
    shown = {
        "window_bytes": 1 << 20,
        "window_limit_bytes": 64 << 20,
        "events_delivered_total": 12_000,
        **more,
    }
    made = Watch(
        facts,
        Liveness(),
        EventStatus(clock=lambda: NOW - 60),
        clock=lambda: NOW,
        read=lambda: figures(**shown),
    )
    made.event_status.hear(
        "output_declared",
        {"output": "devo", "type": "devo_platform", "strength": "receipt", "required": True},
    )
    made.event_status.hear("connection_opened", {"output": "devo"})
    return made


def trouble(made: Watch) -> Watch:
    """Let the output go down and a source fail."""
    made.event_status.hear(
        "delivery_retried", {"output": "devo", "error": REFUSED, "pause": 1.0, "events": 9}
    )
    made.event_status.hear("output_blocked", {"output": "devo"})
    made.event_status.hear("place_failed", {"place": LOGS, "error": DENIED})
    return made


def an_hour(history: History) -> None:
    """Let a day pass in which the rate rises and falls, and the lag grows at its end."""
    total, now = 0.0, time.monotonic() - 86_400
    for step in range(8641):
        total += STEP_SECONDS * (100 + 90 * ((step // 30) % 2))
        lag = 5.0 + 40 * (step > 8500) * (step - 8500)
        history.sample(now + step * STEP_SECONDS, {FLOW: total, "devo": total}, total, {FLOW: lag})


class Stop:
    """Lets a call hang until it is told to go on."""

    def __init__(self):
        self.entered, self.go_on = Event(), Event()

    def __call__(self, block):
        self.entered.set()
        assert self.go_on.wait(60)
        return [block]
