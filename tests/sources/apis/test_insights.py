"""Groups of the class Infrequent Access: every event once by queries, whatever is late, equal or cut off."""

import json
import random
import threading
from collections import Counter

import pytest

from flows.catalogue.logs import CloudWatchLogsSettings
from sources.apis.log_groups import GroupRule
from sources.apis.logs import insights
from sources.errors import Throttled, Transient
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import CLOCK, PLAN
from tests.sources.apis.test_cloudwatch_logs import (  # noqa: F401 - fixtures
    MS,
    NOW,
    Collector,
    account,
    poll,
    proxy,
    served,
)

pytestmark = pytest.mark.usefixtures("proxy")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Look at queries without rest."""
    monkeypatch.setattr(insights, "_PAUSE", 0.0)


@pytest.fixture
def rare(poll):  # noqa: F811
    """Return a collector of one old group of this class."""

    def make(start=MS - 3_600_000, **options):
        return Collector(poll(GroupRule("/rare", start), queries=True, **options))

    fake_aws.put_log_group("/rare", kind="INFREQUENT_ACCESS", created=MS - 90 * 86_400_000)
    return make


def put(*events, **more):
    """Add (time, message) pairs."""
    fake_aws.put_log_events("/rare", "s", [{"timestamp": at, "message": text} | more for at, text in events])


def got(collector):
    return Counter((event["timestamp"], event["message"]) for event in collector.events)


def test_an_event_is_as_of_other_groups(rare):
    """Keys and times are those that FilterLogEvents tells; the id is made of them."""
    put((MS - 90_123, "a\nb\u2028é"))
    collector = rare()
    collector.round()
    (event,) = collector.events
    assert list(event) == [
        *("logGroup", "logStream", "timestamp", "ingestionTime", "eventId", "message", "account", "region")
    ]
    assert (event["timestamp"], event["ingestionTime"], event["message"]) == (MS - 90_123, MS, "a\nb\u2028é")
    assert "logs.FilterLogEvents" not in fake_aws.served_counts()


def test_every_event_once_however_late_equal_or_full(rare, monkeypatch):
    """Bursts of one millisecond, equal lines, late ones, pages and full queries: none lost, none twice."""
    monkeypatch.setattr(insights, "_MOST_ROWS", 40)
    monkeypatch.setattr(insights, "_PAGE_ROWS", 7)
    PLAN.page_size["StartQuery"] = 40
    rng, due, collector = random.Random(7), Counter(), rare()
    for minute in range(40):
        now = NOW + minute * 60
        CLOCK.freeze(now)
        for _ in range(rng.randrange(12)):
            at = now * 1000 - rng.randrange(600_000)
            text = rng.choice("abc")
            for _ in range(rng.choice((1, 1, 2, 9))):
                put((at, text), late_s=rng.choice((0, 0, 30, 300)))
                due[at, text] += 1
        collector.round()
    CLOCK.freeze(NOW + 3 * 3600)
    collector.round()
    assert got(collector) == due
    assert not collector.errors


def test_a_second_that_no_query_holds_is_told(rare, monkeypatch):
    """The position does not move over what a full query has left out."""
    monkeypatch.setattr(insights, "_MOST_ROWS", 5)
    PLAN.page_size["StartQuery"] = 5
    put(*((MS - 90_000, f"{n}") for n in range(9)))
    collector = rare()
    with pytest.raises(Exception, match="more than 5 events in one second"):
        collector.round()
    assert len(collector.events) <= 5


def test_a_resumed_window_brings_what_was_not_emitted(rare, monkeypatch):
    """A kill between two pages: the rest comes, and nothing twice."""
    monkeypatch.setattr(insights, "_PAGE_ROWS", 10)
    put(*((MS - 90_000 + n, "x") for n in range(35)))
    collector = rare(start=MS - 120_000)
    (target,) = collector.poll.targets()
    pages = collector.poll.pages(target, {})
    first = [next(pages) for _ in range(2)]
    collector.states[target.key] = json.loads(json.dumps(first[-1].state))
    pages.close()
    before = sum(block.count for page in first for block in page.items)
    collector.round()
    assert before + len(collector.events) == 35


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_fails_is_asked_again(rare, status):
    """Its window stays where it is, and the cause is told."""
    put((MS - 90_000, "x"))
    PLAN.statuses["StartQuery"] = [status]
    collector = rare()
    collector.round()
    assert [error.what for error in collector.errors] == [f"query ended as {status}"]
    assert len(collector.events) == 1


def test_too_many_queries_at_a_time_are_waited_for(rare):
    """The account's quota is AWS's word for slower."""
    collector = rare()
    (target,) = collector.poll.targets()
    for n in range(100):
        fake_aws.core.state("queries", "123456789012", "us-east-1", dict)[f"{n}"] = type(
            "Q", (), {"looks": 0}
        )
    with pytest.raises(Throttled):
        list(collector.poll.pages(target, {}))


def test_a_group_that_is_born_is_read_from_its_first_lines_on(rare):
    """No query ends before the creation, which AWS refuses; lines that are older than that are there."""
    fake_aws.put_log_group("/rare", kind="INFREQUENT_ACCESS", created=MS - 120_000)
    put((MS - 120_000 - 86_400_000, "older"), (MS - 120_000, "first"), (MS - 61_000, "next"))
    collector = rare(start=None)
    collector.round()
    assert [event["message"] for event in collector.events] == ["older", "first", "next"]


def test_a_range_that_is_over_is_empty(rare):
    """What is older than the group, or than its retention, holds the position up no more than elsewhere."""
    fake_aws.put_log_group("/rare", kind="INFREQUENT_ACCESS", created=MS - 86_400_000)
    put((MS - 90_000, "x"))
    collector = rare(start=MS - 60 * 86_400_000)
    collector.round()
    assert len(collector.events) == 1


def test_a_drain_does_not_wait_for_a_query(rare, monkeypatch):
    """It is asked anew after the start."""
    monkeypatch.setattr(insights, "_PAUSE", 60.0)
    collector = rare()
    (target,) = collector.poll.targets()
    collector.poll._queries._drain = drain = threading.Event()
    threading.Timer(0.2, drain.set).start()
    with pytest.raises(Transient, match="not awaited"):
        list(collector.poll.pages(target, {}))


def test_what_a_query_scans_is_counted_once(rare, monkeypatch):
    """Each begun megabyte, however many pages its rows have and however often it is looked at."""
    monkeypatch.setattr(insights, "_PAGE_ROWS", 2)
    put(*((MS - 90_000 + n, "x" * 500_000) for n in range(5)))
    told = []
    monkeypatch.setattr(insights, "scanned", told.append)
    rare(start=MS - 120_000).round()
    assert told == [2_500_000.0]


def test_a_stream_prefix_holds_here_too(rare):
    """Other streams' events are left out."""
    put((MS - 90_000, "x"))
    fake_aws.put_log_events("/rare", "i-0", [{"timestamp": MS - 90_000, "message": "y"}])
    collector = rare(stream_prefix="i-")
    collector.round()
    assert [event["message"] for event in collector.events] == ["y"]


def test_queries_know_no_filter_patterns():
    """Settings that ask for both are refused."""
    made = {"types": ["logs"], "log_group": "/", "regions": ["eu-west-1"], "filter_pattern": "ERROR"}
    with pytest.raises(ValueError, match="filter_pattern and infrequent_access"):
        CloudWatchLogsSettings.model_validate(made | {"infrequent_access": True})
