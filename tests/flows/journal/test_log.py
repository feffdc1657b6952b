"""The journal's log: what was promised is there, whatever happens to the process or the disk."""

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.journal.log import JournalLog, encoded, is_open, logs, read
from sources.errors import SourceError
from tests.flows.journal.journals import MORNING, row

ROOT = Path(__file__).parents[3]
ENTRIES = [[row(0)], [row(1), row(2)], [row(3)]]


def _fail() -> None:
    raise OSError(5, "I/O error")


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = MORNING / 1000

    def __call__(self) -> float:
        return self.now


def test_what_is_written_is_read(tmp_path):
    """Rows come back as they went in, in their order."""
    log = JournalLog(tmp_path, "p0")
    for entry in ENTRIES:
        log.write(entry)
    (path,) = logs(tmp_path)
    assert list(read(path)) == [one for entry in ENTRIES for one in entry]


@given(cut=st.integers(0, sum(len(encoded(entry)) for entry in ENTRIES)))
def test_a_torn_end_takes_nothing_with_it(tmp_path_factory, cut):
    """Cut at any byte, a log still has every entry that was whole before the cut."""
    path = tmp_path_factory.mktemp("log") / "torn.log"
    path.write_bytes(b"".join(map(encoded, ENTRIES))[:cut])
    whole, size = [], 0
    for entry in ENTRIES:
        size += len(encoded(entry))
        whole += entry if size <= cut else []
    assert list(read(path)) == whole


@given(at=st.integers(8, sum(len(encoded(entry)) for entry in ENTRIES) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_is_noticed(tmp_path_factory, at, flip):
    """A damaged entry is never read as something else."""
    body = bytearray(b"".join(map(encoded, ENTRIES)))
    body[at] ^= flip
    path = tmp_path_factory.mktemp("log") / "bad.log"
    path.write_bytes(body)
    found = list(read(path))
    assert found == [one for entry in ENTRIES for one in entry][: len(found)]


def test_an_hour_has_a_file(tmp_path):
    """When the hour is over the file is closed, and told to whoever compacts."""
    clock, closed = Clock(), []
    log = JournalLog(tmp_path, "p0", closed.append, clock)
    log.write([row(0)])
    assert is_open(logs(tmp_path)[0])
    clock.now += 3600
    log.write([row(1)])
    assert [list(read(path)) for path in logs(tmp_path)] == [[row(0)], [row(1)]]
    assert closed == logs(tmp_path)[:1]
    assert not is_open(closed[0])
    log.close()
    assert closed == logs(tmp_path)


def test_who_writes_together_is_synced_together(tmp_path, monkeypatch):
    """Thirty threads at once need fewer syncs than rows, and none returns before its own row is synced."""
    syncs = []
    fsync = os.fsync

    def slow(file: int) -> None:
        fsync(file)
        syncs.append(sum(len(list(read(path))) for path in logs(tmp_path)))

    monkeypatch.setattr("flows.journal.log.os.fsync", slow)
    log = JournalLog(tmp_path, "p0")
    threads = [threading.Thread(target=log.write, args=([row(number)],)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert syncs[-1] == 30
    (path,) = logs(tmp_path)
    assert len(list(read(path))) == 30


def test_a_failed_sync_is_not_believed_later(tmp_path, monkeypatch):
    """After a sync fails its rows are refused, and what is written again goes to another file."""
    log, fsync = JournalLog(tmp_path, "p0"), os.fsync
    log.write([row(0)])
    monkeypatch.setattr("flows.journal.log.os.fsync", lambda _file: _fail())
    with pytest.raises(SourceError, match="journal cannot be written"):
        log.write([row(1)])
    monkeypatch.setattr("flows.journal.log.os.fsync", fsync)
    log._clock = lambda: MORNING / 1000 + 1
    log.write([row(1)])
    assert len(logs(tmp_path)) == 2
    assert row(1) in [one for path in logs(tmp_path) for one in read(path)]


def test_a_full_disk_is_told_and_leaves_no_half_entry(tmp_path):
    """Rows that do not fit are refused; those before them stay, and later ones fit again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = JournalLog(tmp_path, "p0")
    log.write([row(0)])
    (path,) = logs(tmp_path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))
        for _ in range(3):
            with pytest.raises(SourceError, match="journal cannot be written"):
                log.write([row(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.write([row(2)])
    assert list(read(path)) == [row(0), row(2)]


@pytest.mark.parametrize("broken", ["ftruncate", "pread", "close"])
def test_a_disk_that_takes_nothing_back_keeps_nobody_waiting(tmp_path, monkeypatch, broken):
    """What is not kept is refused to all who wait; what comes next is written to another file."""
    held, late, refused, fsync = threading.Event(), threading.Event(), [], os.fsync

    def slow(file: int) -> None:
        held.set()
        late.wait(120)
        fsync(file)
        if broken == "close":
            _fail()

    def put(_name: str, _entries: bytes) -> None:
        raise SourceError("S3 is away", "s3://b", "")

    def write(number: int) -> None:
        with pytest.raises(SourceError):
            log.write([row(number)])
        refused.append(number)

    log = JournalLog(tmp_path, "p0", clock=(clock := Clock()), put=put)
    with monkeypatch.context() as patch:
        patch.setattr("flows.journal.log._sync_folder", lambda _folder: None)
        patch.setattr("flows.journal.log.os.fsync", slow)
        patch.setattr(f"flows.journal.log.os.{broken}", lambda *_: _fail())
        threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(3)]
        threads[0].start()
        held.wait(120)
        for thread in threads[1:]:
            thread.start()
        while logs(tmp_path)[0].stat().st_size < sum(len(encoded([row(number)])) for number in range(3)):
            pass
        late.set()
        for thread in threads:
            thread.join(120)
    assert sorted(refused) == [0, 1, 2]
    clock.now += 1
    log._put = None
    log.write([row(3)])
    assert list(read(logs(tmp_path)[1])) == [row(3)]


def test_behind_half_an_entry_nothing_is_written(tmp_path, monkeypatch):
    """Where it cannot be cut off, the next row begins another file."""
    log, write = JournalLog(tmp_path, "p0", clock=(clock := Clock())), os.write
    log.write([row(0)])
    with monkeypatch.context() as patch:
        patch.setattr("flows.journal.log.os.write", lambda file, entry: write(file, entry[:9]))
        patch.setattr("flows.journal.log.os.ftruncate", lambda *_: _fail())
        with pytest.raises(SourceError, match="journal cannot be written"):
            log.write([row(1)])
    with pytest.raises(SourceError, match="File exists"):  # within the same millisecond
        log.write([row(1)])
    clock.now += 1
    log.write([row(1)])
    assert [one for path in logs(tmp_path) for one in read(path)] == [row(0), row(1)]


KILLED = """
import sys
from pathlib import Path
from flows.journal.log import JournalLog
from tests.flows.journal.journals import row
log = JournalLog(Path(sys.argv[1]), "p0")
number = 0
while True:
    log.write([row(number)])
    number += 1
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("seed", range(5))
def test_a_kill_loses_no_row_that_was_promised(tmp_path, seed):
    """Killed at any moment: every row whose write returned is read, in its order."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        promised = [int(child.stdout.readline()) for _ in range(3 + 20 * seed)][-1]
        child.kill()
        promised = max([promised, *(int(line) for line in child.stdout if line.endswith("\n"))])
    (path,) = logs(tmp_path)
    found = list(read(path))
    assert found[:promised] == [row(number) for number in range(promised)]
    assert not is_open(path)
