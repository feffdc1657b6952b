"""Questions to the journal."""

import pytest

from flows.journal.compaction import compact_closed
from flows.journal.log import LOGS, JournalLog
from flows.journal.reader import Query, rows, sums
from sources.errors import SourceError
from tests.flows.journal.journals import MORNING, row

DAY = 86_400_000


@pytest.fixture
def folder(tmp_path):
    """Return a journal of two days, the second of them still in its log."""
    log = JournalLog(tmp_path / LOGS, "p0")
    log.write([row(number) for number in range(20)])
    log.write([row(20, outcome="quarantined", service="flowlogs", tags={}, events=0, quarantined=1)])
    log.close()
    compact_closed(tmp_path)
    log.write([row(number, MORNING + DAY) for number in range(5)])
    log.close()
    return tmp_path


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (Query(), 26),
        (Query(to=MORNING + DAY), 21),
        (Query(start=MORNING + DAY), 5),
        (Query(service="flowlogs"), 1),
        (Query(outcome="quarantined"), 1),
        (Query(account="123456789012"), 2),
        (Query(tag="cloud.aws.cloudtrail.ec2"), 25),
        (Query(tag="cloud.aws.vpc.flow"), 0),
        (Query(key="s3://trail-*/AWSLogs/123456789013/*"), 2),
        (Query(region="us-east-1"), 0),
    ],
    ids=str,
)
def test_rows_are_found_by_what_they_say(folder, query, count):
    """Each filter finds its rows, compacted or not."""
    assert len(list(rows(folder, query))) == count


def test_sums_by_day_and_tag(folder):
    """Events by tag and day add up to what the rows hold."""
    found = list(rows(folder, Query()))
    by_day = sums(found, ["day"])
    assert by_day["2026-01-02",]["objects"] == 21
    assert sum(one["events"] for one in by_day.values()) == sum(one.events for one in found)
    by_tag = sums(found, ["tag"])
    assert by_tag["cloud.aws.cloudtrail.ec2",]["events"] == 25 * 20


def test_a_log_that_is_compacted_meanwhile_is_read_as_parquet(folder):
    """Whoever reads beside a running collector finds each row once, wherever it has gone."""
    found = rows(folder, Query())
    first = [next(found) for _ in range(21)]
    compact_closed(folder)
    assert len(first + list(found)) == 26


def test_a_damaged_file_is_named(folder):
    """One error with the file and what to do instead of Arrow's own."""
    log = folder / "day=2026-01-05" / "1767600000000-p0.parquet"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"PAR1 torn")
    with pytest.raises(SourceError, match=r"cannot be read.*1767600000000-p0.parquet"):
        list(rows(folder, Query()))
