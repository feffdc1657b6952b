"""What a start imports is told by package."""

from tests.bench.imports import packages

_TOLD = """import time: self [us] | cumulative | imported package
import time:       200 |        200 |     botocore.hooks
import time:      1300 |       1500 |   botocore
import time:       500 |       2000 | flows.aws
import time: nothing of this line
"""


def test_own_time_of_modules_is_summed_by_package():
    """Each module counts once, without what it imports."""
    assert packages(_TOLD) == {"botocore": 1.5, "flows": 0.5}
