"""A configuration that is held, and the processes that get it."""

import subprocess
import sys

from tests.fakes.collector import ROOT

LEVELS = """
import subprocess, sys
from pathlib import Path
from flows.config.held import Held, bytes_held, copied, handed_on, hold
from flows.process import supervisor

config, level = Path(sys.argv[1]), int(sys.argv[2])
if level == 0:
    hold(Held(str(config), copied(config), ports={"127.0.0.1:1": 99}))
    config.write_text("changed")
print(level, bytes_held(config, 100), handed_on("127.0.0.1:1"), flush=True)
if level < 3:
    popen, mine = subprocess.Popen, [*sys.orig_argv[:-1], str(level + 1)]
    supervisor.subprocess.Popen = lambda command, **more: popen(mine, **more)
    supervisor._spawn([], {}).wait()
"""


def test_what_is_held_comes_to_processes_of_processes(tmp_path):
    """Members of a cluster that a member runs begin with what was held too; ports stay with their owner."""
    config = tmp_path / "config.yaml"
    config.write_text("right")
    command = [sys.executable, "-c", LEVELS, str(config), "0"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = [f"{level} b'right' {99 if level == 0 else None}" for level in range(4)]
    assert told.splitlines() == expected
