"""The demo's samples: something of every service, told apart, and in the past."""

from collections import Counter
from datetime import datetime

import pytest
import yaml

from flows.catalogue.services import units
from flows.config.load import load
from flows.demo.configuration import QUEUES, configuration
from flows.demo.embedded import EmbeddedAws, isolated
from flows.demo.receiver import make_certificates
from flows.demo.sample_apis import put_history
from flows.demo.sample_audits import HISTORY_SECONDS, spread
from flows.demo.sample_events import messages
from flows.demo.samples import objects

TEN = {*QUEUES, "audits_api", "metrics-all", "logs", "aws-guardduty"}
"""The main job's services."""

NOW = 1_767_323_045.678


class Client:
    """Takes what is put into logs and metrics, and gives the lines of a stream back."""

    def __init__(self):
        self.lines, self.points = [], []
        self.create_log_group = self.create_log_stream = lambda **_: None

    def put_log_events(self, logEvents, **_):  # noqa: N803 - boto3's name
        self.told = [{**one, "ingestionTime": 1, "eventId": f"{len(self.lines)}-{one}"} for one in logEvents]
        self.lines += self.told

    def filter_log_events(self, **_):
        return {"events": self.told}

    def put_metric_data(self, MetricData, **_):  # noqa: N803 - boto3's name
        self.points += MetricData


@pytest.fixture(scope="module")
def history():
    """Return where all was put in, and what shall arrive of it."""
    aws, client = EmbeddedAws("", ""), Client()
    aws.client = lambda _service: client
    return aws, put_history(aws, 12, NOW)


def tags(events):
    return {event.tag for event in events}


def test_every_service_has_samples(history):
    """The demo has something to deliver for each of the ten services."""
    _, expected = history
    put = [event for one in [*objects(3), *messages(1)] for event in one.events]
    assert {event.service for event in [*put, *expected]} == TEN
    assert len(TEN) == 10


def test_every_service_is_configured(tmp_path):
    """The demo's configuration is accepted without a warning and runs each of the ten services once."""
    path = tmp_path / "config.yaml"
    certificates = make_certificates(tmp_path / "certs")
    path.write_text(yaml.safe_dump(configuration(4433, certificates, NOW)))
    settings = load(path)
    assert sorted(unit.service.name for unit in units(settings)) == sorted(TEN)
    assert not settings.warnings


def test_samples_of_a_queue_have_a_queue():
    """Every object and message names a service that has a queue."""
    assert {one.service for one in [*objects(1), *messages(1)]} == set(QUEUES)


def test_samples_are_the_same_each_time():
    """The same seed makes the same objects, keys and bytes."""
    assert [(s.key, s.events) for s in objects(2)] == [(s.key, s.events) for s in objects(2)]
    assert len({s.key for s in objects(5)}) == 25


def test_api_records_have_many_tables(history):
    """LookupEvents tells calls of several services, Insight events, and one that Devo has no table for."""
    audits = [event for event in history[1] if event.service == "audits_api"]
    assert {tag.rpartition(".")[2] for tag in tags(audits)} >= {
        "ec2", "iam", "signin", "access_analyzer", "soo_directory", "events", "insights",
    }  # fmt: skip
    assert len(audits) > 50, "more than one page"


def test_no_event_of_an_api_is_put_in_twice(history):
    """Events of the APIs differ, so that a repeat cannot be taken for another one."""
    assert max(Counter(history[1]).values()) == 1


def test_findings_cross_pages_and_share_milliseconds(history):
    """GuardDuty has more findings than a page holds, and several of one millisecond."""
    moments = Counter(one["updatedAt"] for one in history[0].told.findings)
    assert moments.total() > 50
    assert set(moments.values()) == {3}


def test_samples_of_the_apis_lie_in_the_past(history):
    """No sample is younger than now or older than the history, and metrics' last minute is over."""
    aws = history[0]
    told, put = aws.told, aws.client("")
    calls = [one["EventTime"] for events in told.audits.values() for one in events]
    lines = [one["timestamp"] / 1000 for one in put.lines]
    values = [one["Timestamp"] for one in put.points]
    findings = [datetime.fromisoformat(one["updatedAt"]).timestamp() for one in told.findings]
    for times in (calls, lines, values, findings):
        assert min(times) >= NOW - HISTORY_SECONDS
        assert max(times) <= NOW
    assert max(values) < NOW // 60 * 60


@pytest.mark.parametrize("count", [1, 2, 7])
def test_spread(count):
    """Times are as many as asked for, rise, and end now."""
    times = list(spread(count, NOW))
    assert len(times) == count
    assert times == sorted(set(times))
    assert times[-1] == NOW


def test_the_users_settings_stay_outside():
    """No profile, endpoint, region or proxy of the user's reaches the demo's processes; all else does."""
    given = {
        "AWS_PROFILE": "mine",
        "AWS_ENDPOINT_URL_S3": "https://x",
        "BYTEWAX_ADDRESSES": "x",
        "HOME": "/h",
    }
    found = isolated(given)
    assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "BYTEWAX_ADDRESSES"} & found.keys()
    assert found["HOME"] == "/h"
    assert found["NO_PROXY"] == "127.0.0.1"
