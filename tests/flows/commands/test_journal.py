"""`flows journal` on a terminal, for scripts and for spreadsheets."""

import csv
import io
import json

import pytest

from flows.cli import main
from flows.journal.log import LOGS, JournalLog
from tests.flows.journal.journals import row

CONFIG = """
globals: {journal: mine, persistence: {config: {directory_name: state}}}
inputs: {one: {id: "1", services: {aws-guardduty: {regions: [eu-west-1]}}}}
"""


@pytest.fixture
def asked(tmp_path, capsys):
    """Return a function that asks a journal of ten objects and returns exit code, output and errors."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    log = JournalLog(tmp_path / "state" / "mine" / LOGS, "p0")
    log.write([row(number) for number in range(10)])
    log.close()

    def ask(*words: str) -> tuple[int, str, str]:
        code = main(["journal", "--config", str(tmp_path / "config.yaml"), *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return ask


def test_rows_as_json_lines(asked):
    """Each row is one object, times in ISO 8601, the hash in hex."""
    code, out, _ = asked("--format", "jsonl", "--account", "123456789013")
    (found,) = map(json.loads, out.splitlines())
    assert code == 0
    assert found["object"] == row(1).object
    assert found["sha256"] == row(1).sha256.hex()
    assert found["time"].startswith("2026-01-02T03:30:00.001")
    assert found["tags"] == dict(row(1).tags)


def test_sums_as_csv(asked):
    """Sums by account are what the rows hold."""
    _, out, _ = asked("--format", "csv", "--sum", "account,day")
    found = list(csv.DictReader(io.StringIO(out)))
    assert len(found) == 10
    assert sum(int(one["events"]) for one in found) == sum(row(number).events for number in range(10))
    assert {one["day"] for one in found} == {"2026-01-02"}


def test_a_table_for_people(asked):
    """The table shows what was delivered; nothing found prints nothing."""
    assert "delivered" in asked()[1]
    assert asked("--from", "2027-01-01") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--sum", "colour"], "nothing can be summed by colour"), (["--from", "soon"], "no date: soon")],
)
def test_wrong_words_are_told(asked, words, said):
    """A wrong option is one line and exit code 2."""
    code, _, err = asked(*words)
    assert code == 2
    assert said in err


def test_no_journal_is_told(tmp_path, capsys):
    """`journal: off` is answered with what to change."""
    (tmp_path / "config.yaml").write_text(CONFIG.replace("mine", "off"))
    assert main(["journal", "--config", str(tmp_path / "config.yaml")]) == 2
    assert "keeps no journal" in capsys.readouterr().err
