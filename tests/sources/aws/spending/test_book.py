"""The book of what was spent: it survives, turns with the month, and is read beside others."""

import os
import subprocess
import sys
import threading

import pytest

from sources.aws.spending.book import SpendingBook, SpendingKey, files, joined, read
from sources.threads import Payer

PAYER, OTHER = Payer("metrics", "aws", "metrics"), Payer("flow", "aws", 'flow\n\t"ü')
NOV = 1_793_500_000.0
"""In November 2026, UTC; thirty days later it is December."""


@pytest.fixture
def at():
    return [NOV]


@pytest.fixture
def book(at):
    return SpendingBook(lambda action: 0.5 if action == "a:Priced" else 0.0, lambda: at[0])


def test_a_restart_goes_on(book, at, tmp_path):
    """Calls, units, bytes and money go on from the file; what was counted before it was opened is added."""
    book.add(OTHER, "a:Free", 1, 1, 7)
    book.keep(tmp_path / "spent" / "0.spent")
    for _ in range(3):
        book.add(PAYER, "a:Priced", 1, 10, 100)
    again = SpendingBook(book.price, book.clock)
    again.keep(tmp_path / "spent" / "0.spent")
    again.add(PAYER, "a:Priced", 1, 10, 100)
    assert again.spent() == {PAYER: (20.0, 400), OTHER: (0.0, 7)}
    assert {key.action: row.calls for key, row in again.rows().items()} == {"a:Priced": 4, "a:Free": 1}
    assert again.since() == int(NOV)
    assert (tmp_path / "spent").stat().st_mode & 0o777 == 0o700


def test_the_month_turns_in_utc(book, at, tmp_path):
    """In a new month nothing is spent; the old one stays in the file, a year long."""
    book.keep(tmp_path / "0.spent")
    book.add(PAYER, "a:Priced", 1, 10)
    at[0] += 30 * 86_400
    assert (book.month, book.spent()) == ("2026-12", {})
    book.add(PAYER, "a:Priced", 1, 1)
    assert [key.month for key, _ in read(tmp_path / "0.spent")] == ["2026-11", "2026-12"]
    at[0] += 380 * 86_400
    book.keep(tmp_path / "0.spent")
    assert [key.month for key, _ in read(tmp_path / "0.spent")] == ["2026-12"]


def test_a_killed_process_has_counted_all(tmp_path):
    """After kill -9 the file has each call that was counted before."""
    path = tmp_path / "0.spent"
    code = (
        "import sys, pathlib; from sources.aws.spending.book import SpendingBook\n"
        "from sources.threads import Payer\n"
        "book = SpendingBook(); book.keep(pathlib.Path(sys.argv[1]))\n"
        "for n in range(10**9): book.add(Payer('s', 'i', 'k'), 'a:B', 1, 1); print(n + 1, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        for _ in range(1000):
            told = int(child.stdout.readline())
        child.kill()
        told = max([told, *(int(line) for line in child.stdout.read().splitlines(keepends=False) if line)])
    ((_, row),) = read(path)
    assert told <= row.calls <= told + 1


def test_nobody_waits_for_a_write(book, tmp_path, monkeypatch):
    """While one thread writes the others count on, and it writes for them too before it goes on."""
    book.keep(tmp_path / "0.spent")
    writes, may, pwrite = threading.Event(), threading.Event(), os.pwrite

    def slow(*args):
        writes.set()
        assert may.wait(60)
        return pwrite(*args)

    monkeypatch.setattr(os, "pwrite", slow)
    first = threading.Thread(target=book.add, args=(PAYER, "a:Priced", 1, 1))
    first.start()
    assert writes.wait(60)
    for _ in range(3):
        book.add(PAYER, "a:Priced", 1, 1)
        book.add(OTHER, "a:Free", 1, 1)
    may.set()
    first.join(60)
    assert book.spent()[PAYER].usd == 2.0
    assert {key.action: row.calls for key, row in read(tmp_path / "0.spent")} == {"a:Priced": 4, "a:Free": 3}
    book.add(OTHER, "a:Free", 1, 1)
    assert [row.calls for row in joined(files(tmp_path)).values()] == [4, 4]


def test_others_share_the_folder(book, at, tmp_path, monkeypatch):
    """What other processes of the configuration have spent counts too."""
    monkeypatch.setattr("sources.aws.spending.book._LOOK_SECONDS", 0)
    other = SpendingBook(book.price, book.clock)
    other.keep(tmp_path / "queues-0-0.spent")
    book.keep(tmp_path / "0.spent")
    other.add(PAYER, "a:Priced", 1, 2, 5)
    book.add(PAYER, "a:Priced", 1, 1, 5)
    assert book.spent() == other.spent() == {PAYER: (1.5, 10)}
    key = SpendingKey("2026-11", *PAYER, "a:Priced")
    assert joined(files(tmp_path))[key].calls == 2
    assert [row.calls for row in book.rows().values()] == [1]


def test_a_torn_line_is_told(book, tmp_path, caplog):
    """A line that a lost machine has left half written costs itself alone, and is told."""
    book.keep(tmp_path / "0.spent")
    book.add(PAYER, "a:Priced", 1, 10)
    book.add(OTHER, "a:Priced", 1, 10)
    with (tmp_path / "0.spent").open("r+b") as file:
        file.write(b"\0\0\0\0")
    again = SpendingBook(book.price, book.clock)
    again.keep(tmp_path / "0.spent")
    assert again.spent() == {OTHER: (5.0, 0)}
    assert "spending_not_kept" in caplog.text


def test_a_full_disk_stops_nothing(book, tmp_path, caplog):
    """A folder that cannot be written is told once, and counting goes on in memory."""
    (tmp_path / "file").touch()
    book.keep(tmp_path / "file" / "0.spent")
    book.add(PAYER, "a:Priced", 1, 10)
    assert book.spent() == {PAYER: (5.0, 0)}
    assert caplog.text.count("spending_not_kept") == 1
