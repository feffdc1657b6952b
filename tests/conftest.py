"""Fixtures that start real parts: an embedded AWS, receivers, and names of one's own within them."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.fakes.ministack import Ministack

_numbers = count(1)


@pytest.fixture(scope="session")
def aws() -> Iterator[Ministack]:
    """Return one embedded AWS for the whole session; take names from `unique`."""
    with Ministack() as started:
        yield started


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Return a maker of names (buckets, queues) that no other test uses: `unique("flow")` → `flow-17`."""
    return lambda name: f"{name}-{next(_numbers)}"
