"""What all layers' named events rest on: metrics made on first use, whoever comes first."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from transforms.telemetry import add, gauge, total


@pytest.fixture
def hasty(monkeypatch):
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_a_metric_is_made_once_by_many_threads():
    """Threads that meet at the first use of a metric all count, and none of them fails."""
    for number in range(50):
        ready = threading.Barrier(8)

        def count(name=f"raced_{number}", ready=ready):
            ready.wait(30)
            add(name, "Raced for", service="s")
            gauge(f"{name}_now", "Raced for", "service").labels("s").set(1)

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(count) for _ in range(8)]:
                done.result()
        assert total(f"raced_{number}", service="s") == 8


def test_total_adds_up_all_series_with_these_labels():
    """What is asked for by one label is the sum over the others; what never moved is 0."""
    for kind, amount in (("a", 2), ("b", 3)):
        add("added_up", "Added up", amount, service="s", kind=kind)
    assert total("added_up", service="s") == 5
    assert total("added_up", service="s", kind="b") == 3
    assert total("added_up", service="another") == total("never_moved") == 0
