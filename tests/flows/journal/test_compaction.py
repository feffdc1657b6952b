"""Logs made Parquet: every row once, whatever moment a crash chose."""

import json
import resource
import signal
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.journal import compaction
from flows.journal.compaction import compact, compact_closed, prune
from flows.journal.log import LOGS, JournalLog, logs
from flows.journal.reader import Query, rows
from tests.flows.journal.journals import MORNING, row
from tests.flows.journal.kills import LIFE

ROOT = Path(__file__).parents[3]

MIDNIGHT = MORNING - 3 * 3_600_000 - 30 * 60_000


def journal(folder, given, process="p0"):
    """Write rows to a closed log of a journal."""
    log = JournalLog(folder / LOGS, process, clock=lambda: MORNING / 1000)
    log.write(given)
    log.close()


def test_rows_are_sorted_into_their_days(tmp_path):
    """A log over midnight becomes a file of each day; rows are the same as before, the log is gone."""
    given = [row(number, MIDNIGHT - 50) for number in range(100)]
    journal(tmp_path, given)
    made = compact_closed(tmp_path)
    assert [path.parent.name for path in made] == ["day=2026-01-01", "day=2026-01-02"]
    assert not logs(tmp_path / LOGS)
    assert sorted(rows(tmp_path, Query()), key=lambda one: one.time) == given
    services = pq.read_table(made[0]).column("account").to_pylist()
    assert services == sorted(services)


@pytest.mark.parametrize("moment", ["draft", "parquet", "unlink"])
def test_a_crash_at_any_step_is_done_again(tmp_path, monkeypatch, moment):
    """A compaction that dies half way leaves each row readable once, and the next one ends it."""
    given = [row(number) for number in range(10)]
    journal(tmp_path, given)
    (path,) = logs(tmp_path / LOGS)

    class DeadError(Exception):
        pass

    def dies(*_: object) -> None:
        raise DeadError

    with monkeypatch.context() as patch:
        target = {"draft": "_sync", "parquet": "Path.replace", "unlink": "Path.unlink"}[moment]
        patch.setattr(f"flows.journal.compaction.{target}", dies)
        with pytest.raises(DeadError):
            compact(tmp_path, path)
    assert list(rows(tmp_path, Query())) == given
    assert compact_closed(tmp_path)
    assert list(rows(tmp_path, Query())) == sorted(given, key=lambda one: (one.account, one.time))


def test_a_log_that_is_written_is_left_alone(tmp_path):
    """Another process of this machine writes to it: it is read, and compacted when that has ended."""
    log = JournalLog(tmp_path / LOGS, "p1")
    log.write([row(0)])
    assert compact_closed(tmp_path) == []
    assert list(rows(tmp_path, Query())) == [row(0)]
    log.close()
    assert len(compact_closed(tmp_path)) == 1


def test_a_row_takes_little_room(tmp_path, figures):
    """An hour of objects with real keys, sums and hashes takes at most 200 bytes a row."""
    given = [row(number) for number in range(5000)]
    journal(tmp_path, given)
    (made,) = compact_closed(tmp_path)
    size = made.stat().st_size / len(given)
    figures(f"{size:.0f} bytes a row on disk")
    assert size <= 200


def test_old_days_go(tmp_path):
    """Days older than `keep_days` are removed; what is no day is left alone."""
    for name in ("day=2025-12-01", "day=2026-01-01", "day=2026-01-02", "day=x", "other"):
        (tmp_path / name).mkdir()
    assert prune(tmp_path, 1, date(2026, 1, 2)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "day=2026-01-01",
        "day=2026-01-02",
        "day=x",
        "other",
    ]


def test_the_columns_are_those_of_a_row():
    """Every field of a row has a column."""
    assert compaction.schema().names == list(row(0).__struct_fields__)


@pytest.mark.parametrize("lives", [12, pytest.param(150, marks=pytest.mark.full)])
@pytest.mark.timeout(600)
def test_kills_at_random_moments_lose_no_row_that_was_promised(tmp_path, figures, lives):
    """Killed while it writes or compacts: every promised row is read, once; of each life one more at most."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.flows.journal.kills", str(tmp_path), str(lives), "7"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    found = Counter(divmod(one.time - MORNING, LIFE) for one in rows(tmp_path, Query()))
    promised = Counter()
    for one in json.loads(told.stdout):
        promised.update((one["life"], number) for number in range(one["promised"]))
    compacting = sum(one["compacting"] for one in json.loads(told.stdout))
    assert not promised - found
    assert max(found.values()) == 1
    more = Counter(life for life, _ in found - promised)
    assert set(more.values()) <= {1}
    figures(
        f"{lives} kills ({compacting} of them while compacting): {promised.total()} rows promised, 0 lost, "
        f"0 twice, {more.total()} written and not promised yet"
    )
    compact_closed(tmp_path)
    assert Counter(divmod(one.time - MORNING, LIFE) for one in rows(tmp_path, Query())) == found
    assert not logs(tmp_path / LOGS)


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_a_disk_that_is_full_while_compacting_takes_no_row(tmp_path, room):
    """What does not fit stays in the log, and is compacted when there is room."""
    given = [row(number) for number in range(200)]
    journal(tmp_path, given)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with pytest.raises(OSError, match=r"."):
            compact_closed(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(rows(tmp_path, Query())) == given
    compact_closed(tmp_path)
    assert sorted(rows(tmp_path, Query()), key=lambda one: one.time) == given
