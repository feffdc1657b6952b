"""What native code writes to standard error, beside what is told in one line."""

import subprocess
import sys

import pytest

from tests.fakes.collector import ROOT

PROGRAM = """
import os, sys
from flows.process.native_stderr import without_panics
try:
    with without_panics():
        print("a line of ours", file=sys.stderr)
        os.write(2, b"a native warning\\n")
        os.write(2, b"thread '<unnamed>' panicked at src/outputs.rs:332:45:\\nBox<dyn Any>\\n")
        {end}
except ValueError as error:
    print(error, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("raise ValueError('the line')", ["a line of ours", "a native warning", "the line"]),
        ("pass", ["a line of ours", "a native warning", "thread '<unnamed>'", "Box<dyn Any>"]),
    ],
)
def test_a_panic_is_left_out_where_its_error_is_told(end, told):
    """With an error the panic is left out; without one it is passed on, as all other native text is."""
    found = ran(end).stderr.splitlines()
    assert len(found) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(found, told, strict=True))


def test_a_crash_is_told():
    """What ends the process from native code is told by Python where it stood."""
    ended = ran("os.abort()")
    assert ended.returncode < 0
    assert "Fatal Python error: Aborted" in ended.stderr


def ran(end):
    """Run the program with an end of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
