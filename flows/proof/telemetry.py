"""Named events of what CloudTrail has signed: each writes its log line and moves its metrics together."""

import logging

from sources.errors import SourceError
from transforms.telemetry import add, say

_DIGESTS = ("digests", "CloudTrail's digests that were verified as they came, by result")
_LOG_FILES = ("signed_log_files", "Log files that a digest names, by result")
_MOST_PLACES = 20_000
_PLACES: set[tuple[str, str]] = set()


def watched(service: str) -> None:
    """Let the figures of a service whose digests are verified as they come begin at zero."""
    add(*_DIGESTS, 0, service=service, account="", region="", result="valid")
    add(*_LOG_FILES, 0, service=service, account="", region="", result="intact")


def digest(service: str, place: tuple[str, str], name: str, result: str, why: str) -> None:
    """Count a digest by account and region; warn of one that is not valid. why: what is wrong with it."""
    _count(_DIGESTS, service, place, result)
    level = logging.DEBUG if result == "valid" else logging.WARNING
    say(level, "digest_verified", service=service, digest=name, result=result, why=why)


def digest_failed(service: str, name: str, error: Exception) -> None:
    """Warn that a digest could not be looked at; it is tried again."""
    say(logging.WARNING, "digest_failed", service=service, digest=name, error=_told(error))


def digests_not_looked_at(service: str, error: Exception) -> None:
    """Warn of a look at digests that ended before its time; the next one goes on."""
    say(logging.WARNING, "digests_not_looked_at", service=service, error=_told(error))


def log_file(service: str, place: tuple[str, str], name: str, result: str, why: str) -> None:
    """Count a log file that is not as it was signed, or was not delivered, and warn of it."""
    _count(_LOG_FILES, service, place, result)
    say(logging.WARNING, "signed_log_file", service=service, object=name, result=result, why=why)


def log_files(service: str, place: tuple[str, str], count: int) -> None:
    """Count log files that are as they were signed."""
    _count(_LOG_FILES, service, place, "intact", count)


def _told(error: Exception) -> object:
    return error if isinstance(error, SourceError) else f"{type(error).__name__}: {error}"


def _count(what: tuple[str, str], service: str, place: tuple[str, str], result: str, count: int = 1) -> None:
    """Count by account and region, in bounds: whoever writes to the bucket chooses what keys say."""
    if place not in _PLACES and len(_PLACES) >= _MOST_PLACES:
        place = ("other", "other")
    _PLACES.add(place)
    add(*what, count, service=service, account=place[0], region=place[1], result=result)
