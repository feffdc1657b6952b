"""Named events of the sinks: one call, one log line and one metric."""

import pytest
from prometheus_client import REGISTRY

from sinks import telemetry
from sinks.errors import ConnectionLost

LOST = ConnectionLost("lost", "there", "wait")
EVENTS = [
    (telemetry.block_written, ("o", 2, 10), "collector_events_sent_total", {"output": "o"}, 2),
    (
        telemetry.receipt_taken,
        ("o", "receipt", 5, 0.1),
        "collector_events_delivered_total",
        {"output": "o", "strength": "receipt"},
        5,
    ),
    (
        telemetry.receipt_fallback,
        ("o", "there", "kernel"),
        "collector_receipt_fallbacks_total",
        {"output": "o"},
        1,
    ),
    (telemetry.delivery_refused, ("o", LOST, 3), "collector_refusals_total", {"output": "o"}, 1),
    (telemetry.request_split, ("o", 100), "collector_requests_split_total", {"output": "o"}, 1),
    (
        telemetry.delivery_retried,
        ("o", LOST, 0.2, 3),
        "collector_delivery_retries_total",
        {"output": "o", "error": "ConnectionLost"},
        1,
    ),
    (telemetry.window_full, ("o", 10), "collector_windows_full_total", {"output": "o"}, 1),
    (telemetry.connection_opened, ("o", "there", 0.1), "collector_connections_total", {"output": "o"}, 1),
    (telemetry.peer_closed_idle, ("o", "there"), "collector_idle_closes_total", {"output": "o"}, 1),
    (telemetry.credentials_loaded, ("my.crt",), "collector_credentials_loaded_total", {}, 1),
    (telemetry.best_effort_missed, ("o", 4, LOST), "collector_events_missed_total", {"output": "o"}, 4),
    (
        telemetry.poison_kept,
        ("object_broken", "flowlogs", "not gzip"),
        "collector_poison_total",
        {"reason": "object_broken", "service": "flowlogs"},
        1,
    ),
]


@pytest.mark.parametrize(("event", "values", "metric", "labels", "step"), EVENTS)
def test_each_event_moves_its_metric(event, values, metric, labels, step, caplog):
    """An event counts under bounded labels, and all but the busiest are in the log by name."""
    before = REGISTRY.get_sample_value(metric, labels) or 0
    with caplog.at_level("DEBUG", "collector"):
        event(*values)
    assert REGISTRY.get_sample_value(metric, labels) == before + step
    assert event is telemetry.block_written or event.__name__ in caplog.text


def test_blocked_outputs_are_seen_in_a_gauge():
    """A gauge tells which outputs take nothing at the moment."""
    for blocked in (True, False):
        telemetry.output_blocked("o", blocked=blocked)
        assert REGISTRY.get_sample_value("collector_output_blocked", {"output": "o"}) == blocked


CHANGES = [
    (lambda: telemetry.output_declared("s", "devo_platform", "receipt", required=True), "receipt"),
    (lambda: telemetry.receipt_fallback("s", "there", "kernel"), "kernel"),
    (lambda: telemetry.receipt_fallback("s", "there", "closed"), "closed"),
    (lambda: telemetry.receipt_restored("s", "receipt"), "receipt"),
    (lambda: telemetry.best_effort_missed("s", 3, LOST), "none"),
    (lambda: telemetry.best_effort_restored("s", "written"), "written"),
]


def test_strength_is_one_gauge_at_a_time(caplog):
    """Whatever changes an output's strength moves the gauge and is in the log; only one strength holds."""
    for change, strength in CHANGES:
        caplog.clear()
        with caplog.at_level("INFO", "collector"):
            change()
        shown = {
            each: REGISTRY.get_sample_value("collector_output_strength", {"output": "s", "strength": each})
            for each in ("receipt", "closed", "kernel", "written", "none")
        }
        assert [each for each, value in shown.items() if value] == [strength]
        assert strength in caplog.text or strength == "none"


def test_the_resend_window_is_the_sum_of_all_connections():
    """Two connections of one output show what both may hold and do hold, and nothing once they are closed."""

    def shown():
        names = ("collector_window_limit_bytes", "collector_window_bytes")
        return [REGISTRY.get_sample_value(name, {"output": "w"}) for name in names]

    for _ in range(2):
        telemetry.window_opened("w", 100)
        telemetry.window_changed("w", 30)
    assert shown() == [200, 60]
    for _ in range(2):
        telemetry.window_changed("w", -30)
        telemetry.window_opened("w", -100)
    assert shown() == [0, 0]
