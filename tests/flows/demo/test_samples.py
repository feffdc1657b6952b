"""The demo's samples: something of every service, told apart, and in the past."""

from collections import Counter
from datetime import datetime

import pytest
import yaml

from flows.catalogue.services import units
from flows.config.load import load
from flows.demo.configuration import QUEUES, configuration
from flows.demo.embedded import isolated
from flows.demo.receiver import make_certificates
from flows.demo.sample_apis import put_history
from flows.demo.sample_events import messages
from flows.demo.samples import HISTORY_SECONDS, objects, spread

TEN = {*QUEUES, "audits_api", "metrics-all", "logs", "aws-guardduty"}
"""The main job's services."""

NOW = 1_767_323_045.678


class Recorder:
    """Takes what is put into the fake, by function."""

    def __init__(self):
        self.given = []

    def __call__(self, function, **arguments):
        self.given.append((function, arguments))
        return [f"{number:056d}" for number, _ in enumerate(arguments.get("events", ()))]

    def of(self, function, name):
        return [one for called, given in self.given if called == function for one in given[name]]


@pytest.fixture(scope="module")
def history():
    """Return what was put in, and what shall arrive of it."""
    recorder = Recorder()
    return recorder, put_history(recorder, "detector", 12, NOW)


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
    moments = Counter(one["UpdatedAt"] for one in history[0].of("put_findings", "findings"))
    assert moments.total() > 50
    assert set(moments.values()) == {3}


def test_samples_of_the_apis_lie_in_the_past(history):
    """No sample is younger than now or older than the history, and metrics' last minute is over."""
    put = history[0]
    calls = [one["EventTime"] for one in put.of("put_cloudtrail_events", "events")]
    lines = [one["timestamp"] / 1000 for one in put.of("put_log_events", "events")]
    values = [one["timestamp"] for one in put.of("put_metric_samples", "samples")]
    findings = [
        datetime.fromisoformat(one["UpdatedAt"]).timestamp() for one in put.of("put_findings", "findings")
    ]
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
