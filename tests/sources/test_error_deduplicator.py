"""One cause is told once, by whoever meets it first, until it is over for them or an hour has passed."""

from sources.error_deduplicator import REMIND_SECONDS, ErrorDeduplicator

A, B, C = ("logs", "a"), ("logs", "b"), ("guardduty", "c")


def test_one_tells_for_all():
    """Of three that one cause stops, the first tells it; its own repeats are quiet too."""
    causes = ErrorDeduplicator()
    assert [causes.first("denied", who) for who in (A, B, C, A)] == [True, False, False, False]


def test_another_cause_is_told():
    """Each cause has a teller of its own."""
    causes = ErrorDeduplicator()
    assert causes.first("denied", A)
    assert causes.first("wrong key", B)


def test_who_has_not_recovered_tells_it_then():
    """When the teller works again and another does not, that one is told: its trouble was hidden."""
    causes = ErrorDeduplicator()
    assert [causes.first("denied", who) for who in (A, B)] == [True, False]
    assert causes.over("denied", A)
    assert causes.first("denied", B)


def test_recovering_quietly():
    """Those that were quiet recover quietly; who told says that it is over."""
    causes = ErrorDeduplicator()
    for who in (A, B):
        causes.first("denied", who)
    assert [causes.over("denied", who) for who in (B, A, C)] == [False, True, False]


def test_recovering_from_something_else_changes_nothing():
    """A teller that recovers from another cause has not told that this one is over."""
    causes = ErrorDeduplicator()
    causes.first("denied", A)
    assert not causes.over("wrong key", A)
    assert not causes.first("denied", B)


def test_it_is_told_again_after_an_hour():
    """A cause that lasts is told once an hour."""
    now = 0.0
    causes = ErrorDeduplicator(lambda: now)
    causes.first("denied", A)
    now = REMIND_SECONDS - 1
    assert not causes.first("denied", B)
    now = REMIND_SECONDS
    assert causes.first("denied", B)
    assert not causes.first("denied", A)
