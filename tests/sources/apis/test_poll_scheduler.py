"""The fetch threads' parts: inboxes bounded in bytes, pauses by kind of failure."""

import threading

import pytest

from sources.apis.poll import Page
from sources.apis.poll_scheduler import PageInbox, pause_after
from sources.errors import BadCredentials, Denied, IdentityAbsent, Missing, SourceError, Throttled, Transient
from transforms.block import Block, Origin, Poison

ORIGIN = Origin("test")


def page(size, number=0):
    return Page((Block(b"x" * (size - 1) + b"\n", 1, ORIGIN),), {"v": 1, "n": number})


def never():
    return False


def test_inbox_keeps_order_and_takes_up_to_the_limit():
    """Pages leave in their order, at least one, never more than fits."""
    inbox = PageInbox(10_000)
    for number in range(4):
        assert inbox.put("t", page(1_000, number), never)
    assert len(inbox) == 4
    assert [p.state["n"] for _, p in inbox.take(3_100)] == [0, 1]
    assert [p.state["n"] for _, p in inbox.take(1)] == [2]
    assert [p.state["n"] for _, p in inbox.take(9_999)] == [3]
    assert inbox.take(9_999) == []


def test_full_inbox_makes_the_thread_wait_until_it_is_drained():
    """Back-pressure reaches the fetch thread, and it goes on when there is room."""
    inbox = PageInbox(2_000)
    assert inbox.put("t", page(1_000, 0), never)
    waiting = threading.Thread(target=inbox.put, args=("t", page(1_500, 1), never))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    assert len(inbox.take(4_000)) == 1
    waiting.join(120)
    assert [p.state["n"] for _, p in inbox.take(4_000)] == [1]


def test_stopped_put_adds_nothing():
    """A page that did not get in before the drain is not half in."""
    inbox = PageInbox(10)
    assert inbox.put("t", page(1_000), never)
    assert not inbox.put("t", page(1_000), lambda: True)
    assert len(inbox) == 1


def test_larger_page_than_the_bound_passes_alone():
    """A bound smaller than one page must not stop everything for ever."""
    inbox = PageInbox(10)
    poison = Page((Poison("r", "d", ORIGIN, b"y" * 5_000),), {"v": 1})
    assert inbox.put("t", poison, never)
    assert len(inbox.take(1)) == 1


@pytest.mark.parametrize(
    ("kind", "pauses"),
    [
        (Transient, [1, 2, 4, 8, 300]),
        (Throttled, [5, 10, 20, 40, 120]),
        (SourceError, [1, 2, 4, 8, 300]),
        (Missing, [60, 120, 240, 480, 900]),
        (IdentityAbsent, [2, 4, 8, 16, 60]),
        (BadCredentials, [10, 20, 40, 80, 300]),
        (Denied, [60, 120, 240, 480, 900]),
    ],
)
def test_pauses_grow_to_a_bound(kind, pauses):
    """h06: each failure in a row doubles the pause up to a bound that fits its kind."""
    error = kind("w", "where", "h")
    assert [pause_after(error, n, 1, 0) for n in (1, 2, 3, 4, 1_000)] == pauses


def test_jitter_takes_up_to_half():
    """Targets that failed together do not come back together."""
    error = Transient("w", "where", "h")
    assert pause_after(error, 3, 1, 1) == 2
    assert pause_after(error, 3, 0.5, 0) == 2
