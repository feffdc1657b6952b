"""The next connection, opened by a thread while the present one is in use."""

import threading

import pytest

from sinks.errors import ConnectFailed
from sinks.preconnect import Preconnect


class Line:
    def __init__(self):
        self.gone = threading.Event()

    def abandon(self):
        self.gone.set()


class Opening:
    """Opens connections when `gate` is open; notes what failed."""

    def __init__(self, error=None):
        self.gate, self.error = threading.Event(), error
        self.lines, self.failures = [], []
        self.ahead = Preconnect(self.opened, self.failures.append)

    def opened(self):
        self.gate.wait(60)
        if self.error:
            raise self.error
        self.lines.append(Line())
        return self.lines[-1], 7.0


def test_beginning_does_not_wait_and_taking_does():
    """The connection is opened in the background; who takes it waits until it is open, with its time."""
    opening = Opening()
    opening.ahead.begin()
    opening.ahead.begin()
    assert opening.lines == []
    threading.Timer(0.05, opening.gate.set).start()
    assert opening.ahead.take() == (opening.lines[0], 7.0)
    assert len(opening.lines) == 1


def test_nothing_begun_is_nothing_to_take():
    """Without a beginning there is no connection, and each is taken once."""
    opening = Opening()
    assert opening.ahead.take() is None
    opening.gate.set()
    opening.ahead.begin()
    assert opening.ahead.take()
    assert opening.ahead.take() is None
    opening.ahead.drop()
    assert not opening.lines[0].gone.is_set()


@pytest.mark.parametrize("late", [True, False])
def test_dropped_connections_are_closed(late):
    """A connection given up is closed, also when it comes to be open only afterwards."""
    opening = Opening()
    opening.ahead.begin()
    if not late:
        opening.gate.set()
        opening.ahead._next.result(60)
    opening.ahead.drop()
    opening.gate.set()
    while not opening.lines:
        threading.Event().wait(0.01)
    assert opening.lines[0].gone.wait(60)


def test_failing_is_told_and_costs_nothing():
    """When the receiver cannot be reached there is no connection ahead, and the reason is told."""
    error = ConnectFailed("refused", "there", "wait")
    opening = Opening(error)
    opening.gate.set()
    opening.ahead.begin()
    assert opening.ahead.take() is None
    assert opening.failures == [error]
    opening.ahead.begin()
    opening.ahead.drop()
    assert opening.failures == [error]


def test_defects_are_not_swallowed():
    """An error that is none of delivery's comes out where the connection is taken."""
    opening = Opening(ZeroDivisionError())
    opening.gate.set()
    opening.ahead.begin()
    with pytest.raises(ZeroDivisionError):
        opening.ahead.take()
