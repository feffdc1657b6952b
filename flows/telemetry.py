"""Named events of the dataflows; each writes its log line and moves its metric together."""

import logging

from transforms.telemetry import add, say


def events_filtered(service: str, count: int) -> None:
    """Tell that line_filter_rules kept events from being sent."""
    add("events_filtered", "Events that line_filter_rules dropped", count, service=service)
    say(logging.DEBUG, "events_filtered", service=service, events=count)
