"""Hostile objects end in quarantine or as the events they are, in bounded memory and time."""

import pytest

from tests.security.appetite import measured
from tests.security.bombs import BOMBS

MOST_BYTES = 300 << 20


@pytest.mark.parametrize("name", BOMBS)
def test_h09_bombs_cost_little(name, tmp_path):
    """Whatever an object asks for, decoding it takes bounded memory, and says why it stops."""
    layout, reason, make = BOMBS[name]
    path = tmp_path / "object"
    with path.open("wb") as file:
        file.writelines(make())
    found = measured(path, layout)
    assert found.reason == reason
    assert found.bytes < MOST_BYTES
