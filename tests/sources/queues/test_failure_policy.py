"""What is done about each kind of error: the table, read as a table."""

import pytest

from sources import errors
from sources.queues.failure_policy import LONGEST_SECONDS, Action, Rules, decide


def made(kind):
    return (
        kind("it failed", "there", "do this") if issubclass(kind, errors.SourceError) else kind("it failed")
    )


@pytest.mark.parametrize(
    ("kind", "action", "reason", "delays"),
    [
        (errors.ObjectGone, Action.SETTLE, "object_gone", None),
        (errors.ObjectBroken, Action.QUARANTINE, "object_broken", None),
        (errors.ObjectTooLarge, Action.QUARANTINE, "object_too_large", None),
        (errors.ObjectArchived, Action.QUARANTINE, "object_archived", None),
        (errors.ObjectBusy, Action.GIVE_BACK, "object_busy", (30, 30, 30)),
        (errors.ObjectChanged, Action.GIVE_BACK, "object_changed", (0, 0, 0)),
        (errors.Throttled, Action.GIVE_BACK, "throttled", (10, 20, 900)),
        (errors.Transient, Action.GIVE_BACK, "transient", (5, 10, 900)),
        (errors.Denied, Action.GIVE_BACK, "denied", (60, 120, 900)),
        (errors.BadCredentials, Action.GIVE_BACK, "denied", (60, 120, 900)),
        (errors.ExpiredCredentials, Action.GIVE_BACK, "expired_credentials", (30, 60, 900)),
        (errors.Missing, Action.GIVE_BACK, "missing", (60, 120, 900)),
        (errors.SourceError, Action.GIVE_BACK, "refused", (60, 120, 900)),
        (ZeroDivisionError, Action.GIVE_BACK, "defect", (60, 120, 900)),
    ],
)
def test_h07_each_error_has_one_action(kind, action, reason, delays):
    """Only what can never be had is settled or quarantined; all else stays in the queue, ever longer."""
    verdict = decide(made(kind), Rules())
    assert (verdict.action, verdict.reason) == (action, reason)
    if delays:
        assert (verdict.delay(1), verdict.delay(2), verdict.delay(1000)) == delays


def test_h07_missing_objects_can_be_kept():
    """`object_gone: keep` leaves the message to the queue's redrive policy."""
    verdict = decide(made(errors.ObjectGone), Rules(object_gone="keep"))
    assert verdict.action is Action.GIVE_BACK
    assert 0 < verdict.delay(1) <= verdict.delay(2) <= LONGEST_SECONDS


@pytest.mark.parametrize("kind", [errors.ObjectBroken, errors.ObjectTooLarge, errors.ObjectArchived])
def test_unreadable_objects_can_be_kept(kind):
    """`unreadable: keep` leaves what cannot be read to the queue's redrive policy."""
    assert decide(made(kind), Rules(unreadable="keep")).action is Action.GIVE_BACK
    assert decide(made(kind), Rules(object_gone="keep")).action is Action.QUARANTINE


def test_every_error_of_the_tree_is_decided():
    """A new kind of source error is met by the table through its parents."""

    def below(kind):
        return [kind, *(one for child in kind.__subclasses__() for one in below(child))]

    assert all(decide(made(kind), Rules()).reason != "defect" for kind in below(errors.SourceError))
