import gc
import subprocess
import sys

import pytest

from flows.process.memory import reuse_blocks, unswept

MAPS = """
import sys
from flows.process.memory import reuse_blocks
sys.argv[1:] and reuse_blocks({})
block = bytes(1 << 20)
print(any(int(a, 16) <= id(block) < int(b, 16) for line in open("/proc/self/maps") if "[heap]" in line
          for a, b in [line.split()[0].split("-")]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
@pytest.mark.parametrize("tuned", [True, False])
def test_blocks_lie_in_the_heap(tuned):
    """A block of a megabyte is taken out of the heap, where it would be mapped by itself."""
    command = [sys.executable, "-c", MAPS, *["tuned"] * tuned]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{tuned}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_what_is_free_is_given_back():
    """What was freed leaves the process, also where something in use lies behind it."""
    code = """
from flows.process.memory import give_back, reuse_blocks
reuse_blocks({})
blocks = [b"x" * (1 << 20) for _ in range(60)]
size = lambda: int(open("/proc/self/statm").read().split()[1])
del blocks[:-1]
before = size()
print(give_back(), (before - size()) * 4096 > 50 << 20)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "True True\n"


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_what_somebody_has_set_stands(name):
    """Variables of malloc in the environment are left to decide."""
    assert not reuse_blocks({name: "2"})


def test_garbage_is_looked_for_again_after_a_start():
    """Not during it, and never among what it has made."""
    before = gc.get_freeze_count()
    with unswept():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    gc.unfreeze()
