"""The fake autoscaler counts as KEDA's and Kubernetes' documents say."""

import pytest

from tests.fakes.keda import Scaler


def test_as_many_as_have_their_messages():
    """Thirty messages at ten for one pod are three pods."""
    assert Scaler(10, 1, 12).replicas(1, 30, 0) == 3


@pytest.mark.parametrize(("messages", "wanted"), [(108, 1), (111, 2), (0, 1), (10_000, 5)])
def test_tolerance_and_bounds(messages, wanted):
    """A tenth more changes nothing; at least one, at most four more in one period."""
    assert Scaler(100, 1, 12).replicas(1, messages, 0) == wanted


def test_it_grows_by_steps():
    """Four pods or twice as many in fifteen seconds, whichever is more."""
    scaler, count, seen = Scaler(1, 1, 100), 1, []
    for now in range(0, 60, 5):
        count = scaler.replicas(count, 100, now)
        seen.append(count)
    assert seen == [5, 5, 5, 10, 10, 10, 20, 20, 20, 40, 40, 40]


def test_it_shrinks_when_the_window_is_over():
    """It goes down to the most that it has wanted within the window."""
    scaler = Scaler(10, 1, 12, window=60)
    assert scaler.replicas(8, 80, 0) == 8
    assert scaler.replicas(8, 45, 30) == 8
    assert scaler.replicas(8, 15, 61) == 5
    assert scaler.replicas(5, 15, 91) == 2
