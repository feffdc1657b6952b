"""Replies in every shape that AWS's models allow: members left out, orders and tokens nobody promised."""

import json
import threading
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from sources.apis import guardduty
from sources.apis.poll import Target
from sources.aws.replies import PageTokens
from sources.errors import SourceError, Transient
from tests.sources.apis.test_incomplete_replies import Collector, Metrics
from tests.sources.apis.test_lateness import GROUP, MINUTE, START, Logs, logs
from tests.sources.listed.test_recheck import POLLS, UNLIMITED, World


def poll_of(service: str, aws: object):
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda *_: aws
    )
    make, id_of, key = POLLS[service]
    poll = make(account, UNLIMITED, threading.Event(), lambda: aws.now)
    return poll, id_of, Target(key, "123456789012", "eu-west-1", key.partition("/")[2])


def read(poll, target, state, pages=10_000):
    """Poll once, at most so many pages; return the events and the position."""
    found = []
    for page, _ in zip(poll.pages(target, json.loads(json.dumps(state))), range(pages), strict=False):
        state = page.state
        found += [json.loads(line) for item in page.items for line in item.payload.splitlines()]
    return found, state


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_tokens_that_lead_round_are_an_error(length):
    """However long the way round is, it ends with an error; without one no number of pages does."""
    tokens = PageTokens("here")
    assert [tokens.following(f"t{n}") for n in range(1000)] == [f"t{n}" for n in range(1000)]
    with pytest.raises(Transient, match="one before it"):
        [tokens.following(f"round-{n % length}") for n in range(5000)]


class Optional(World):
    """LookupEvents whose members are left out, and pages in any order."""

    left_out = ()

    def lookup_events(self, **asked):
        reply = super().lookup_events(**asked)
        events = [{k: v for k, v in one.items() if k not in self.left_out} for one in reply["Events"]]
        return {**reply, "Events": events}


@pytest.mark.parametrize("left_out", [("EventId",), ("EventTime",), ("EventId", "EventTime")])
def test_events_without_id_or_time_come_once(left_out):
    """LookupEvents calls id and time optional: an event without them is sent, once, and stops nothing."""
    aws = Optional()
    aws.left_out = left_out
    poll, id_of, target = poll_of("audits_api", aws)
    aws.events = [(f"e{n}", START_OF + n * 1000, START_OF) for n in range(120)]
    found, state = [], {}
    for _ in range(12):
        aws.now += 5 * MINUTE
        events, state = read(poll, target, state)
        found += [id_of(event) for event in events]
    assert sorted(found) == sorted({f"e{n}" for n in range(120)})


START_OF = World().now + 5 * MINUTE


class Shuffled(World):
    """LookupEvents whose first page holds one old event among the newest."""

    def lookup_events(self, StartTime, EndTime, MaxResults, NextToken="0"):  # noqa: N803
        whole = super().lookup_events(StartTime, EndTime, MaxResults, "0")
        events, token = list(whole["Events"]), "0"
        while token := super().lookup_events(StartTime, EndTime, MaxResults, token).get("NextToken", ""):
            events += super().lookup_events(StartTime, EndTime, MaxResults, token)["Events"]
        if len(events) > 100:
            events.insert(1, events.pop())
        end = int(NextToken) + 50
        return {
            "Events": events[int(NextToken) : end],
            **({"NextToken": str(end)} if end < len(events) else {}),
        }


def test_a_page_out_of_order_moves_nothing_over_what_follows():
    """A crash behind a page that holds an old event among new ones loses nothing of those between."""
    aws = Shuffled()
    poll, id_of, target = poll_of("audits_api", aws)
    aws.events = [(f"e{n}", START_OF + n * 1000, START_OF) for n in range(300)]
    aws.now += 20 * MINUTE
    first, state = read(poll, target, {}, pages=1)
    rest, _ = read(poll, target, state)
    assert {id_of(one) for one in first + rest} == {f"e{n}" for n in range(300)}


@pytest.mark.parametrize("missing", ["logStreamName", "timestamp", "ingestionTime", "message", "eventId"])
@pytest.mark.parametrize("null", [False, True])
def test_a_log_event_that_lacks_a_member_comes_once(missing, null):
    """FilterLogEvents calls each member optional: what is told is sent, equal ones as often as they come."""
    aws = Logs()
    run = logs(aws)
    run.once(GROUP, "eventId")
    for n in (0, 0, 1):
        aws.put(START + MINUTE + n, START + MINUTE + n, f"m{n}")
    whole = aws.filter_log_events

    def lacking(**asked):
        reply = whole(**asked)
        kept = [{k: v for k, v in one.items() if k != missing} for one in reply["events"]]
        return {**reply, "events": [{**one, missing: None} if null else one for one in kept]}

    aws.filter_log_events = lacking
    for _ in range(10):
        aws.now += 5 * MINUTE
        run.once(GROUP, "message")
    assert run.got == ({"": 3} if missing == "message" else {"m0": 2, "m1": 1})


@pytest.mark.parametrize(
    "odd", [{"id": None}, {"updatedAt": None}, {"updatedAt": "soon"}, {"updatedAt": 1_789_948_800.5}, {}]
)
def test_a_finding_that_tells_no_id_or_update_is_sent_and_stops_nothing(odd):
    """It comes once while it is as it is, and the others of its page come too."""

    class Odd(World):
        def get_findings(self, FindingIds, **_):  # noqa: N803
            found = json.loads(super().get_findings(FindingIds)[guardduty._WIRE])["findings"]
            for one in found:
                one["title"] = one["id"]
                if one["id"] == "e1":
                    one.update(odd)
            kept = [{k: v for k, v in one.items() if v is not None} for one in found]
            return {guardduty._WIRE: json.dumps({"findings": kept}).encode()}

    aws = Odd()
    poll, _, target = poll_of("aws-guardduty", aws)
    aws.events = [(f"e{n}", START_OF + n * 1000, START_OF) for n in range(5)]
    found, state = [], {}
    for _ in range(30):
        aws.now += 5 * MINUTE
        events, state = read(poll, target, state)
        found += [event["title"] for event in events]
    assert sorted(found) == [f"e{n}" for n in range(5)]


class Refusing(Metrics):
    """CloudWatch that refuses every request for points."""

    code = "400"

    def get_metric_data(self, **asked):
        if self.code:
            about = {"HTTPStatusCode": 400}
            raise ClientError({"Error": {"Code": self.code}, "ResponseMetadata": about}, "GetMetricData")
        return super().get_metric_data(**asked)


@pytest.mark.parametrize("code", ["400", "InvalidNextToken", "ValidationError", "InvalidParameterValue"])
def test_a_request_that_is_refused_whatever_it_names_moves_nothing(code):
    """What is wrong with all metrics is none of theirs: a proxy's 400 left all out for an hour, as read."""
    aws = Refusing([f"m{n}" for n in range(7)])
    aws.code = code
    collector = Collector(aws)
    for _ in range(2):
        with pytest.raises(SourceError):
            collector.round()
    assert collector.state == {}
    aws.code = ""
    assert {event["metricName"] for event in collector.round()} == set(aws.names)


@pytest.mark.parametrize("odd", [{"Timestamps": None}, {"Values": []}, {"StatusCode": None}])
def test_a_result_that_lacks_a_part_is_asked_for_otherwise(odd):
    """Times without values, or neither, are no answer: the metric is read by GetMetricStatistics."""
    aws = Metrics(["good", "odd"], units={"good": ("Count",), "odd": ("Count",)})
    whole = aws.get_metric_data

    def lacking(**asked):
        reply = whole(**asked)
        asked_for = [query["MetricStat"]["Metric"]["MetricName"] for query in asked["MetricDataQueries"]]
        for name, one in zip(asked_for, reply["MetricDataResults"], strict=True):
            one.pop("Messages", None)
            if name == "odd":
                one.update(odd)
        cut = [{k: v for k, v in one.items() if v is not None} for one in reply["MetricDataResults"]]
        return {**reply, "MetricDataResults": cut}

    aws.get_metric_data = lacking
    assert {event["metricName"] for event in Collector(aws).round()} == {"good", "odd"}
    assert aws.asked["GetMetricStatistics"] == 1
