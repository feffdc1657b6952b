"""Every fuzz target holds on its seeds, on inputs that once broke it, and on what is near the seeds."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

FINDINGS = Path(__file__).parent / "findings"


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_findings_hold(name):
    """What a target begins with, and what has broken it before, keeps its promises."""
    target = TARGETS[name]
    for data in (*target.seeds, *(path.read_bytes() for path in sorted((FINDINGS / name).glob("*")))):
        target.one(data)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=60)
def test_inputs_near_the_seeds_hold(name, data):
    """Seeds with pieces cut out, doubled, exchanged and overwritten keep the promises too."""
    target = TARGETS[name]
    first, second = data.draw(st.tuples(*[st.sampled_from([*target.seeds, b""])] * 2))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(first))] * 2)))
    middle = data.draw(st.binary(max_size=6) | st.just(second) | st.just(first[start:end] * 2))
    target.one((first[:start] + middle + first[end:])[: target.longest])
