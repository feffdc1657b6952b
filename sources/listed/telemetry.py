"""Named events of listings and second looks: log line and metric together."""

import logging
from typing import NamedTuple

from sources.apis.window import to_datetime
from transforms.telemetry import add, say


class ListingCounts(NamedTuple):
    """Of one listing. objects: that it showed. new: of them handed on."""

    requests: int
    objects: int
    new: int


def listing_done(service: str, where: str, counts: ListingCounts, seconds: float) -> None:
    """Tell of a listing that has come to its end."""
    add("listings", "Listings of buckets that came to their end", service=service)
    add("listed_objects", "Objects that listings found and that were not known", counts.new, service=service)
    say(
        logging.DEBUG,
        "listing_done",
        service=service,
        where=where,
        **counts._asdict(),
        seconds=round(seconds, 3),
    )


def recheck_left_out(service: str, target: str, start: int, end: int, reason: str) -> None:
    """Warn that the daily look goes on without a time (epoch ms) that it cannot look at."""
    times = {"since": to_datetime(start).isoformat(), "until": to_datetime(end).isoformat()}
    say(logging.WARNING, "recheck_left_out", service=service, target=target, **times, reason=reason)
