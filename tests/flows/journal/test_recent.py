"""What a new process learns of those before it."""

import threading
import time

import pytest

from flows.config.load import JournalPlace
from flows.journal import keeping
from flows.journal import recent as module
from flows.journal.book import JournalBook
from flows.journal.compaction import compact_closed
from flows.journal.log import LOGS, JournalLog
from flows.journal.recent import ask, recent, split
from sources.journal import digest
from sources.objects.object_ref import ObjectRef
from tests.flows.journal.journals import MORNING, row

NOW = MORNING / 1000
OBJECT = ObjectRef("bucket", "key", etag="e1")


def life(folder, name, *lots, at=NOW):
    """Write a log for each lot of rows, an hour apart, as one process does."""
    clock = [at]
    log = JournalLog(folder / LOGS, name, clock=lambda: clock[0])
    for lot in lots:
        log.write(lot)
        log.close()
        clock[0] += 3600


def known(folder, service="audits_s3", owner="production", now=NOW + 60):
    """Return the digests that are recalled."""
    return list(split(recent(folder, now).get(service, {}).get(owner, b"")))


def ids(numbers):
    """Return the digests of rows."""
    return [digest(row(number).id) for number in numbers]


def test_an_objects_id_is_that_of_its_source():
    """What the journal calls an object is what a lease calls it when it comes again."""
    assert row(0, object=OBJECT.uri, etag="e1").id == OBJECT.id
    assert row(0, object=OBJECT.uri, version="v1", etag="e1").id == "bucket/key@v1"
    assert row(0, kind="message", container="queue", object="id-1").id == "sqs/queue/id-1"


@pytest.mark.parametrize("compacted", [False, True], ids=["log", "parquet"])
def test_the_last_rows_are_recalled_whether_compacted_or_not(tmp_path, compacted):
    """The latest comes last; what was not there, or was not wanted, is looked at again."""
    lot = [row(number) for number in range(9)]
    life(tmp_path, "p0", [*lot, row(9, outcome="missing"), row(10, outcome="filtered")])
    if compacted:
        compact_closed(tmp_path)
    assert known(tmp_path) == ids(range(9))
    assert known(tmp_path, owner="another") == []
    assert known(tmp_path, service="another") == []


def test_what_went_to_quarantine_is_read_again(tmp_path):
    """Its notice may come again because its cause was mended; a window's row is never read, only its id."""
    poisoned = {"outcome": "quarantined", "events": 0}
    window = {"kind": "window", "object": "r/g", "start": 1, "end": 2}
    rows = [row(1), row(2, **poisoned), row(3, kind="message", **poisoned), row(4, **poisoned, **window)]
    life(tmp_path, "p0", rows)
    assert known(tmp_path) == [digest(rows[0].id), digest(rows[3].id)]


def test_a_log_that_is_compacted_meanwhile_is_read_from_its_parquet(tmp_path, monkeypatch):
    """Another process compacts between the listing and the reading."""
    life(tmp_path, "p0", [row(1)])
    listed = module.logs(tmp_path / LOGS)
    monkeypatch.setattr(module, "logs", lambda _folder: listed)
    compact_closed(tmp_path)
    assert not listed[0].exists()
    assert known(tmp_path) == ids([1])


def test_each_life_is_recalled_and_of_each_the_end(tmp_path):
    """Two files of each process are read; what SQS keeps no longer is not."""
    life(tmp_path, "p0", *([row(number)] for number in range(4)))
    life(tmp_path, "p1", [row(9)])
    assert sorted(known(tmp_path)) == sorted(ids([2, 3, 9]))
    assert known(tmp_path, now=NOW + 15 * 86_400) == []


def test_each_start_of_a_container_is_a_life(tmp_path, monkeypatch):
    """Host and process id are the same at each start: a crash loop pushes no earlier life out."""
    monkeypatch.setattr(keeping, "listen", lambda _heard: None)
    drain = threading.Event()
    for number in range(4):
        book = keeping.begin(JournalPlace(tmp_path, 1), drain)
        book.write([row(number, at=int(time.time() * 1000))])
        book._log.close()
        time.sleep(0.002)  # a log's name has the millisecond
    drain.set()
    assert known(tmp_path, now=time.time()) == ids(range(4))


def test_a_disk_in_trouble_ends_no_upkeep(tmp_path, monkeypatch, caplog):
    """Where no process can be started, or the log not be turned, it is told and tried again."""
    monkeypatch.setattr(keeping, "listen", lambda _heard: None)
    monkeypatch.setattr(keeping, "_LOOK_SECONDS", 0.001)
    drain, again, tries = threading.Event(), threading.Event(), []

    def refused(*_: object, **__: object) -> None:
        tries.append(1)
        if len(tries) > 1:
            drain.set()
            again.set()
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(keeping.subprocess, "run", refused)
    book = keeping.begin(JournalPlace(tmp_path, 1), drain)
    for number in range(2):
        while len(tries) < number:
            time.sleep(0.001)
        book.write([row(number)])
        book._log.close()
        time.sleep(0.002)
    assert again.wait(120)
    assert "Cannot allocate memory" in caplog.text


def test_logs_of_one_life_push_no_other_out(tmp_path, monkeypatch):
    """The bound is of the files that are read: a life of many hours has two of them."""
    monkeypatch.setattr(module, "MOST_FILES", 3)
    life(tmp_path, "host-7", [row(9)])
    life(tmp_path, "p1", *([row(number)] for number in range(5)), at=NOW + 60)
    assert sorted(known(tmp_path, now=NOW + 20_000)) == sorted(ids([3, 4, 9]))


def test_what_is_recalled_is_bounded(tmp_path, monkeypatch):
    """Of each file the latest rows, and of all files together the latest files'."""
    monkeypatch.setattr(module, "MOST_DIGESTS", 5)
    life(tmp_path, "p0", [row(number) for number in range(9)])
    compact_closed(tmp_path)
    assert known(tmp_path) == ids(range(4, 9))
    monkeypatch.setattr(module, "ALL_DIGESTS", 7)
    life(tmp_path, "p1", [row(number) for number in range(20, 29)], at=NOW + 5)
    assert known(tmp_path) == [*ids([7, 8]), *ids(range(24, 29))]


def test_a_child_process_reads_it_once_for_all_services(tmp_path):
    """The book asks when the first service begins; the answer is that of the files."""
    life(tmp_path, "p0", [row(1, at=int(time.time() * 1000))], at=time.time())
    asked = []
    book = JournalBook(JournalLog(tmp_path / LOGS, "p1"), "p1", lambda: asked.append(1) or ask(tmp_path))
    assert list(book.recent("audits_s3", "production")) == ids([1])
    assert list(book.recent("flowlogs", "production")) == []
    assert len(asked) == 1


def test_a_journal_that_cannot_be_read_is_told_and_nothing_is_recalled(tmp_path, caplog):
    """Collecting goes on; the log says what that costs."""
    (tmp_path / "day=2026-01-02").mkdir()
    (tmp_path / "day=2026-01-02" / f"{int(time.time() * 1000)}-p0.parquet").write_bytes(b"no parquet")
    assert ask(tmp_path) == {}
    assert "journal_not_recalled" in caplog.text


def test_a_new_journal_asks_nobody(tmp_path, monkeypatch):
    """The first start spawns no child."""
    monkeypatch.setattr(module.subprocess, "run", None)
    assert ask(tmp_path) == {}
