"""Latency: which wait a share stays within, and an AWS whose objects come one after the other."""

import asyncio
import math
import time

import pytest

from tests.bench.cheap_aws import Place
from tests.bench.latency import quantile


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4)])
def test_quantile(share, expected):
    """The smallest wait that so many stay within: of few waits the longest."""
    assert quantile([4, 1, 3, 2], share) == expected
    assert math.isnan(quantile([], share))


def test_objects_come_at_their_rate(tmp_path):
    """From the first receive on; a receive waits for the next one, and not longer than it may."""
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"x")
    place = Place(tmp_path, 0, 0, 0, rate=1000.0)
    assert place.visible == 0
    asyncio.run(place.come(10.0))
    found = place.take(10)
    while len(found) < 3:
        asyncio.run(place.come(10.0))
        found += place.take(10)
    assert time.time() - place.first >= 0.002
    asyncio.run(place.come(0.01))
    assert place.visible == 0
