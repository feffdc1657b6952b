"""An object that ends the process three times is quarantined unopened; others are not touched by it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sources.errors import ObjectBroken
from sources.objects.opening_record import DEATHS, OpeningRecord

ROOT = Path(__file__).parents[3]
LIFE = """
import json, os, signal, sys
from pathlib import Path
from sources.errors import ObjectBroken
from sources.objects.opening_record import OpeningRecord

folder, how, objects = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
record, refused = OpeningRecord(folder), []

def end():
    print(json.dumps(refused), flush=True)
    if how == "raise":
        raise SystemExit(1)
    os.kill(os.getpid(), signal.SIGKILL)

def made(others):
    if how != "kill while one waits":
        read(others)
    yield "piece"

def read(objects):
    if not objects:
        end()
    (name, done), *others = objects
    try:
        for _ in record.reading(name, done, "s3://b/" + name, made(others)):
            end()
    except ObjectBroken as error:
        refused.append([name, error.reason])
        read(others)

read(objects)
"""


def life(folder: Path, how: str, *objects: tuple[str, int]) -> list[list[str]]:
    """Read objects, each within the one before, in a process and end it; return what was refused."""
    command = [sys.executable, "-c", LIFE, str(folder), how, json.dumps(objects)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1, -signal.SIGKILL), done.stderr
    return json.loads(done.stdout)


def test_a2_an_object_that_kills_is_not_opened_a_fourth_time(tmp_path):
    """Three deaths while it was being read: the fourth life refuses it, and opens others."""
    for _ in range(DEATHS):
        assert life(tmp_path, "kill", ("bomb", 0)) == []
    assert life(tmp_path, "kill", ("bomb", 0), ("other", 0)) == [["bomb", "object_deadly"]]
    with pytest.raises(ObjectBroken, match="ended the process 3 times"):
        next(OpeningRecord(tmp_path).reading("bomb", 0, "s3://b/bomb", iter("x")))


def test_a2_waiting_for_room_is_no_guilt(tmp_path):
    """An object whose piece waits, for a receiver that is away, is not why somebody kills the process."""
    for _ in range(2 * DEATHS):
        assert life(tmp_path, "kill while one waits", ("patient", 0)) == []


def test_a2_progress_is_no_guilt(tmp_path):
    """An object that has come further in each life is read on, however often processes die."""
    for done in range(2 * DEATHS):
        assert life(tmp_path, "kill", ("large", done)) == []


def test_a2_an_ordinary_end_is_no_death(tmp_path):
    """A process that ends by itself, with an error too, counts for nothing."""
    for _ in range(DEATHS + 1):
        assert life(tmp_path, "raise", ("any", 0)) == []


def test_a2_what_was_read_to_its_end_is_forgotten(tmp_path):
    """Slots are given back after thousands of objects, and more may be open than there are slots."""
    record = OpeningRecord(tmp_path)
    for number in range(2000):
        assert list(record.reading(f"o{number}", 0, "x", iter("ab"))) == ["a", "b"]
    assert _nested(record, 300) == 300
    content = (tmp_path / "openings-0").read_bytes()
    assert not content.strip(b"\0")
    assert len(content) <= 4096


def test_a2_processes_share_a_folder(tmp_path):
    """Each has a file of its own; what a living one reads is no death of it."""
    first, second = OpeningRecord(tmp_path), OpeningRecord(tmp_path)

    def made():
        assert sorted(path.name for path in tmp_path.iterdir()) == ["deaths", "openings-0", "openings-1"]
        assert not (tmp_path / "deaths").read_bytes()
        yield life(tmp_path, "kill", ("a", 0))

    assert list(first.reading("a", 0, "x", second.reading("b", 0, "x", made()))) == [[]]
    assert (tmp_path / "openings-0").stat().st_mode & 0o077 == 0


def _nested(record, count):
    """Return how many of so many objects were read, each while the one before was."""
    if not count:
        return 0
    inner = (_nested(record, count - 1) for _ in range(1))
    (found,) = record.reading(f"o{count}", 0, "x", inner)
    return found + 1
