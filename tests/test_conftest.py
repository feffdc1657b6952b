"""What all tests share leaves none to the mercy of others."""

import random
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_a_thread_that_draws_breaks_no_property_test():
    """Jitter of boto3's retries, in a thread of another test, is not taken for a strategy that draws."""
    over = threading.Event()

    def draw():
        while not over.is_set():
            random.random()

    @given(st.dictionaries(st.text(max_size=5), st.integers(0, 100)))
    def property_test(_):
        """Draw, and claim nothing."""

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        property_test()
    finally:
        over.set()
        thread.join()


def test_no_limit_of_time():
    """Neither a slow example nor slow drawing fails a property test on a busy machine."""
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
