"""What is done about a failed fetch: one table, from the kind of error to the action.

settle      the message is deleted, with a warning: there is nothing to be had, now or later
quarantine  a Poison goes through the dataflow to quarantine, then the message is deleted
give back   the message stays in its queue and comes again after a delay, longer each time; the queue's
            redrive policy decides how often

APIs have no message to end: they only pause (`apis/poll_scheduler.py`).
"""

from collections.abc import Callable
from enum import Enum
from typing import Literal

from msgspec import Struct

from sources.errors import (
    Denied,
    ExpiredCredentials,
    IdentityAbsent,
    Missing,
    ObjectArchived,
    ObjectBroken,
    ObjectBusy,
    ObjectChanged,
    ObjectGone,
    ObjectTooLarge,
    SourceError,
    Throttled,
    Transient,
)

LONGEST_SECONDS = 900
"""Longest delay of a message that was given back."""


class Action(Enum):
    """See the module."""

    SETTLE = "settle"
    QUARANTINE = "quarantine"
    GIVE_BACK = "give back"


class Rules(Struct, frozen=True):
    """What a configuration may change. unreadable: objects and messages that cannot be cut into events.

    full: tells whether quarantine takes no more; what would go there is then kept in its queue.
    """

    object_gone: Literal["settle", "keep"] = "settle"
    unreadable: Literal["quarantine", "keep"] = "quarantine"
    full: Callable[[], bool] = lambda: False

    @property
    def keeps(self) -> bool:
        """Whether what is unreadable stays in its queue."""
        return self.unreadable == "keep" or self.full()


class Verdict(Struct, frozen=True):
    """reason: stable code of a Poison or metric. first_seconds: delay after the first receive.

    grows: double it with every receive. ours: the failure is not this one object's or message's: others will
    meet it as well, so receiving slows down.
    """

    action: Action
    reason: str
    first_seconds: float = 0
    grows: bool = True
    ours: bool = False

    def delay(self, receives: int) -> int:
        """Return the seconds until a message received that often may come again."""
        factor = 2.0 ** min(max(receives - 1, 0), 20) if self.grows else 1
        return int(min(self.first_seconds * factor, LONGEST_SECONDS))


_GIVE_BACK, _SETTLE, _POISON = Action.GIVE_BACK, Action.SETTLE, Action.QUARANTINE

_TABLE: tuple[tuple[type[Exception], Verdict], ...] = (
    (ObjectBusy, Verdict(_GIVE_BACK, "object_busy", 30, grows=False)),
    (ObjectGone, Verdict(_SETTLE, "object_gone", 60)),
    (ObjectChanged, Verdict(_GIVE_BACK, "object_changed", 0)),
    (ObjectArchived, Verdict(_POISON, "object_archived", 300)),
    (ObjectTooLarge, Verdict(_POISON, "object_too_large", 300)),
    (ObjectBroken, Verdict(_POISON, "object_broken", 60)),
    (Throttled, Verdict(_GIVE_BACK, "throttled", 10, ours=True)),
    (Transient, Verdict(_GIVE_BACK, "transient", 5, ours=True)),
    (IdentityAbsent, Verdict(_GIVE_BACK, "identity_absent", 10, ours=True)),
    (Denied, Verdict(_GIVE_BACK, "denied", 60, ours=True)),
    (ExpiredCredentials, Verdict(_GIVE_BACK, "expired_credentials", 30, ours=True)),
    (Missing, Verdict(_GIVE_BACK, "missing", 60)),
    (SourceError, Verdict(_GIVE_BACK, "refused", 60)),
    (Exception, Verdict(_GIVE_BACK, "defect", 60)),  # of ours: the message stays until the repair
)
"""The first line that fits decides: children stand before their parents."""

_KEPT = {"object_gone": "object_gone"} | dict.fromkeys(
    ("object_archived", "object_too_large", "object_broken"), "unreadable"
)


def decide(error: Exception, rules: Rules) -> Verdict:
    """Return what to do about an error under the configuration's rules."""
    verdict = next(verdict for kind, verdict in _TABLE if isinstance(error, kind))
    setting = _KEPT.get(verdict.reason)
    if (setting == "unreadable" and rules.keeps) or (
        setting == "object_gone" and rules.object_gone == "keep"
    ):
        return Verdict(_GIVE_BACK, verdict.reason, verdict.first_seconds)
    return verdict
