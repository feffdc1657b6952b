"""Standard output and files."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sinks.connection import ReceiptStrength
from sinks.console import ConsoleOutput, FileOutput
from sinks.errors import OutputBroken, ReaderGone
from sinks.frame import Framer
from transforms.block import Block, Origin

FRAMER = Framer("host-1", 14)
BLOCK = Block(b"a\nb\n", 2, Origin("t"), "my.app.test")
LINES = b"<14>Jan  1 00:00:00 host-1 my.app.test: a\n<14>Jan  1 00:00:00 host-1 my.app.test: b\n"


def test_console_prints_the_wire_bytes():
    """Standard output gets, one per line, exactly the bytes that would go over the wire."""
    stream = io.BytesIO()
    output = ConsoleOutput("console", FRAMER, lambda: stream)
    output.write(BLOCK)
    output.begin()
    assert output.finish() is ReceiptStrength.WRITTEN
    output.close()
    assert stream.getvalue() == LINES


def test_console_uses_the_standard_output_of_the_moment(capfdbinary):
    """By default it is the process's own standard output."""
    output = ConsoleOutput("console", FRAMER)
    output.write(BLOCK)
    output.finish()
    assert capfdbinary.readouterr().out == LINES


def test_reader_that_leaves_is_told_apart():
    """When the reader of a pipe has gone, the error says so, and the pipe is left alone after that."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream:
        output = ConsoleOutput("console", FRAMER, lambda: stream)
        with pytest.raises(ReaderGone, match="has gone: output console"):
            output.write(BLOCK)
        output.write(BLOCK)


def test_interpreter_ends_without_complaint_after_a_broken_pipe():
    """`… | head -1` leaves no traceback behind."""
    program = (
        "from tests.sinks.test_console import *\n"
        "output = ConsoleOutput('console', FRAMER)\n"
        "try:\n"
        "    while True: output.write(BLOCK)\n"
        "except ReaderGone: pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1) as process:
        assert process.stdout.readline() == LINES.splitlines(keepends=True)[0]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_file_is_appended_to(tmp_path):
    """A file output appends, makes the file when missing, and is on disk at the receipt."""
    path = tmp_path / "events.log"
    for _ in range(2):
        output = FileOutput("file", FRAMER, path)
        output.write(BLOCK)
        output.begin()
        assert output.finish() is ReceiptStrength.WRITTEN
        output.close()
    assert path.read_bytes() == LINES * 2


def test_half_a_line_of_a_crash_is_ended(tmp_path):
    """After a crash in mid-line our first line begins on a line of its own."""
    path = tmp_path / "events.log"
    path.write_bytes(b"half a li")
    output = FileOutput("file", FRAMER, path)
    output.write(BLOCK)
    output.close()
    assert path.read_bytes() == b"half a li\n" + LINES


def test_nothing_written_makes_no_file(tmp_path):
    """An output that nothing is written to touches nothing, and its receipt is free."""
    output = FileOutput("file", FRAMER, tmp_path / "events.log")
    assert output.finish() is ReceiptStrength.WRITTEN
    output.close()
    assert not list(tmp_path.iterdir())


def test_h22_unwritable_file_says_where_and_what_to_do(tmp_path):
    """A file that cannot be written is an error with its path and a hint, and no receipt."""
    output = FileOutput("file", FRAMER, tmp_path)
    with pytest.raises(OutputBroken, match=f"{tmp_path}: name a file, not a folder"):
        output.write(BLOCK)


def test_h22_full_disk_is_no_delivery():
    """A disk that is full fails the write."""
    output = FileOutput("file", FRAMER, Path("/dev/full"))
    with pytest.raises(OutputBroken, match="make room on the disk"):
        output.write(BLOCK)
    output.close()
