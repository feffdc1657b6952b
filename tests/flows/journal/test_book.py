"""Rows are completed by what transforms made and how outputs took it."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.journal import book as module
from flows.journal.book import JournalBook
from flows.journal.log import JournalLog
from flows.journal.reader import Query, rows
from flows.journal.recent import _is_done
from sources.errors import SourceError
from sources.journal import JournalRow
from transforms.block import Block, Origin, Poison

OBJECT = "s3://bucket/key"
ROW = JournalRow(1, "object", "delivered", "audits_s3", object=OBJECT, etag="e1", records=10)
ORIGIN = Origin("audits_s3", object=OBJECT, version="e1")


def by_first_letter(block):
    """Tag events by their first letter; `x` is dropped, `p` is poison."""
    for line in block.payload.splitlines(keepends=True):
        letter = line[:1].decode()
        if letter == "p":
            yield Poison("odd", "p", block.origin, line)
        elif letter != "x":
            yield Block(line, 1, block.origin, tag=letter)


@pytest.fixture
def journal(tmp_path):
    """Return a book over a log, and a function that reads what it has written."""
    made = JournalBook(JournalLog(tmp_path / "log", "p"), "host-1")
    return made, lambda: list(rows(tmp_path, Query()))


def test_a_row_has_what_became_of_its_object(journal):
    """Events by tag are counted over all blocks of the object; what is missing from them was filtered."""
    book, read = journal
    transform = book.counted(by_first_letter)
    for payload in (b"a\nb\nx\np\n", b"a\na\nx\nx\nb\na\n"):
        list(transform(Block(payload, payload.count(b"\n"), ORIGIN)))
    book.hear("receipt_taken", {"output": "devo", "strength": "receipt"})
    book.write([ROW])
    (found,) = read()
    assert dict(found.tags) == {"a": 4, "b": 2}
    assert (found.events, found.filtered, found.quarantined) == (6, 3, 1)
    assert (found.outputs, found.process) == (("devo:receipt",), "host-1")


def test_counts_go_with_their_row(journal):
    """The same object again begins anew: what a row took is not counted twice."""
    book, read = journal
    transform = book.counted(by_first_letter)
    for _ in range(2):
        list(transform(Block(b"a\n", 1, ORIGIN)))
        book.write([ROW])
    assert [one.events for one in read()] == [1, 1]


def test_a_write_that_fails_keeps_the_counts(journal, monkeypatch):
    """A full disk is asked again later, and the row is whole then."""
    book, read = journal
    list(book.counted(by_first_letter)(Block(b"a\n", 1, ORIGIN)))

    def full(_rows):
        raise SourceError("no room", "here", "make some")

    with monkeypatch.context() as patch:
        patch.setattr(book._log, "write", full)
        with pytest.raises(SourceError):
            book.write([ROW])
    book.write([ROW])
    assert [one.events for one in read()] == [1]


def test_counts_are_bounded(journal, monkeypatch):
    """Objects whose rows never come do not fill memory: the oldest are let go."""
    monkeypatch.setattr(module, "MOST_OBJECTS", 3)
    book, _ = journal
    transform = book.counted(by_first_letter)
    for number in range(9):
        list(transform(Block(b"p\na\n", 2, Origin("s", object=f"s3://b/{number}", version="v"))))
    assert len(book._made) == 3


def test_what_is_left_out_of_messages_is_in_their_rows(journal):
    """Messages that are events have what a filter dropped in their rows; one without any left is filtered."""
    book, read = journal
    transform = book.counted(by_first_letter)
    for payload in (b"x\n", b"x\nx\na\n"):
        list(transform(Block(payload, payload.count(b"\n"), Origin("events", container="q"))))
    row = JournalRow(1, "message", "delivered", "events", container="q", records=1, events=1)
    book.write([row, row])
    book.write([row, row])
    found = [(one.outcome, one.events, one.filtered) for one in read()]
    assert found == [("filtered", 0, 1)] * 3 + [("delivered", 1, 0)]


def test_events_of_messages_are_told_by_tag(journal, monkeypatch):
    """What a queue's messages brought adds up by tag, also when a write failed in between; the rest waits."""
    book, read = journal
    transform = book.counted(by_first_letter)
    payload = b"a\na\na\nb\nb\n"
    list(transform(Block(payload, 5, Origin("events", container="q"))))
    row = JournalRow(1, "message", "delivered", "events", container="q", records=2, events=2)
    with monkeypatch.context() as patch:
        patch.setattr(module.JournalLog, "write", refused)
        with pytest.raises(SourceError):
            book.write([row, row])
    book.write([row])
    assert sum((Counter(one.tags) for one in read()), Counter()).total() == 2
    book.write([row, replace(row, events=1)])
    assert sum((Counter(one.tags) for one in read()), Counter()) == {"a": 3, "b": 2}


def refused(_log, _rows):
    raise SourceError("full", "there", "make room")


def test_what_was_delivered_in_part_is_not_read_again():
    """Its good events have receipts and its broken ones are in quarantine; only a whole rest counts."""
    assert _is_done(replace(ROW, quarantined=1))
    assert not _is_done(replace(ROW, outcome="quarantined", quarantined=1))


def test_an_object_of_which_all_is_left_out_is_filtered(journal):
    """A row says `filtered` when nothing of its object was wanted; rows in one poison are as many events."""
    book, read = journal
    list(book.counted(by_first_letter)(Block(b"x\n" * 10, 10, ORIGIN)))
    book.write([ROW])
    list(
        book.counted(lambda one: [Poison("odd", "p", one.origin, one.payload)])(
            Block(b"p\n" * 10, 10, ORIGIN)
        )
    )
    book.write([ROW])
    told = [(one.outcome, one.events, one.filtered, one.quarantined) for one in read()]
    assert told == [("filtered", 0, 10, 0), ("delivered", 0, 0, 10)]


def test_a_windows_row_takes_what_was_made_since_the_last_one(journal):
    """Of an origin without object: counts go with a row when it is completed, not when it is written."""
    book, read = journal
    place = {"account": "123456789012", "region": "eu-west-1", "container": "/my/group"}
    transform = book.counted(by_first_letter, "production")
    window = JournalRow(1, "window", "delivered", "logs", input="production", object="t", records=4, **place)
    list(transform(Block(b"a\nb\nx\np\n", 4, Origin("logs", **place))))
    (first,) = book.complete([window])
    list(transform(Block(b"a\n", 1, Origin("logs", **place))))
    (second,) = book.complete([replace(window, records=1, resumed=True)])
    (unknown,) = book.complete([replace(window, events=7, resumed=True)])
    book.write([first, second, unknown])
    assert [dict(row.tags) for row in read()] == [{"a": 1, "b": 1}, {"a": 1}, {}]
    assert [(row.events, row.filtered, row.quarantined) for row in read()] == [
        (2, 1, 1),
        (1, 0, 0),
        (7, 0, 0),
    ]


PAGES = st.lists(st.tuples(st.sampled_from("tuv"), st.text("abxp", min_size=1, max_size=9)), max_size=12)


@given(pages=PAGES, ends=st.sets(st.integers(0, 11)), together=st.booleans(), fails=st.booleans())
def test_targets_that_share_a_place_share_its_events(pages, ends, together, fails):
    """Targets of one account and region: their rows add up to what was made, whoever is settled first."""
    log = Kept(fails=fails)
    book = JournalBook(log, "host-1")
    transform = book.counted(by_first_letter, "production")
    place = {"account": "123456789012", "region": "eu-west-1"}
    open_records, made = Counter(), Counter()

    def settle():
        due = [
            JournalRow(
                1, "window", "delivered", "apis", input="production", object=key, records=count, **place
            )
            for key, count in sorted(open_records.items())
        ]
        open_records.clear()
        for some in [due] if together else [[one] for one in due]:
            with suppress(SourceError):
                book.write(some)
                continue
            book.write(some)

    for number, (target, letters) in enumerate(pages):
        payload = "".join(f"{letter}\n" for letter in letters).encode()
        for item in transform(Block(payload, len(letters), Origin("apis", **place))):
            made[item.tag if isinstance(item, Block) else "p"] += 1
        open_records[target] += len(letters)
        if number in ends:
            settle()
    settle()
    assert sum((Counter(row.tags) for row in log.rows), Counter()) == made - Counter(p=made["p"])
    assert sum(row.quarantined for row in log.rows) == made["p"]
    assert all(row.events + row.filtered + row.quarantined == row.records for row in log.rows)


class Kept:
    """A log that keeps rows in memory; every other write fails at first where it shall."""

    def __init__(self, *, fails):
        self.rows, self._fails, self._writes = [], fails, 0

    def write(self, rows):
        self._writes += 1
        if self._fails and self._writes % 2:
            raise SourceError("no room", "here", "make some")
        self.rows += rows
