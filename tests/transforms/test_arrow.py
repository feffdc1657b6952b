import subprocess
import sys

import pytest

from transforms import arrow

SLOW = ("pyarrow", "numpy", "smart_open")


def test_a_start_imports_nothing_slow_that_it_may_never_need():
    """Importing the main job imports neither Arrow nor smart_open."""
    code = (
        f"import sys, flows.commands.run, flows.aws; print([name for name in {SLOW} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_what_arrow_has_not_is_an_attribute_error():
    """A wrong name is told as it is by any module."""
    assert arrow.compute.equal(arrow.array([1]), 1).to_pylist() == [True]
    with pytest.raises(AttributeError, match="nothing_of_it"):
        _ = arrow.nothing_of_it
