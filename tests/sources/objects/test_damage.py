"""Whatever is damaged in an object, no good record is lost and nothing goes out that is none."""

import pytest

from tests.sources.objects.damage import FORMATS, judged

PIECES = (4000, 5028, 6010, 21005, 22006, 44014, 56035)
"""Seeds by which pieces of a damaged value went out, or good lines behind it did not."""


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_r3_damage_of_any_kind(kind):
    """Forty kinds of damage, drawn by seed, in every format: nothing lost, no garbage, all told."""
    for seed in [*range(1000, 1040), *PIECES]:
        found = judged(kind, seed)
        assert not found.lost, seed
        assert not found.garbage, (seed, found.garbage)
        assert found.out + found.withheld >= 23
        if found.withheld:
            assert found.reasons, seed
