"""What a configuration says of identity, place and time of events does what it says, from file to bytes."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from flows.catalogue.services import units
from flows.config.load import load
from flows.steps import apply
from sources.apis.window import now_ms, to_datetime
from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.process import wait_until
from transforms.block import Block, Origin
from transforms.telemetry import total

ACCOUNT, REGION = "123456789012", "eu-west-1"
RECORD = {
    "eventName": "Decrypt",
    "eventSource": "kms.amazonaws.com",
    "awsRegion": "ap-south-1",
    "recipientAccountId": "999988887777",
}
QUEUED, POLLED = {"queue_name": "q"}, {}
JSON_SERVICES = {
    "audits_api": ("audit-events-all", {"types": ["audits_api"]}, RECORD),
    "audits_s3": ("audit-events-all", {"types": ["audits_s3"], **QUEUED}, RECORD),
    "service-events-all": ("service-events-all", QUEUED, {"source": "aws.ec2", "detail-type": "x"}),
    "sqs-cloudwatch-consumer": ("sqs-cloudwatch-consumer", QUEUED, {"Id": "finding"}),
    "metrics-all": ("metrics-all", POLLED, {"namespace": "AWS/EC2"}),
    "logs": ("my-logs", {"types": ["logs"], "log_group": "/"}, {"logGroup": "g"}),
    "aws-guardduty": ("aws-guardduty", POLLED, {"id": "finding"}),
    "flowlogs as json": (
        "non-cloudwatch-logs",
        {"types": ["flowlogs"], "format": "json", **QUEUED},
        "2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 40 1 2 ACCEPT OK",
    ),
}
"""Name → key under `services`, settings, an event as its source emits it."""


@pytest.fixture
def sent(tmp_path, monkeypatch) -> Callable[..., list[Block]]:
    """Return what makes events of a configuration file and the events of one service."""
    monkeypatch.chdir(tmp_path)

    def run(setting: str, settings: dict, *events: object, **given: object) -> list[Block]:
        service = {"regions": [REGION], **settings}
        written = {"inputs": {"in": {"id": "1", "services": {setting: service}, **given}}}
        Path("config.yaml").write_text(yaml.safe_dump(written))
        (unit,) = units(load(Path("config.yaml")))
        lines = [one if isinstance(one, str) else json.dumps(one) for one in events]
        payload = "".join(f"{line}\n" for line in lines).encode()
        origin = Origin(unit.service.name, ACCOUNT, REGION, "q")
        return list(apply(unit.service.transform(unit))([Block(payload, len(lines), origin)]))

    return run


each = pytest.mark.parametrize(("setting", "settings", "event"), JSON_SERVICES.values(), ids=JSON_SERVICES)


@each
def test_environment(sent, setting, settings, event):
    """`environment` of an input is the first field of each of its JSON events."""
    (block,) = sent(setting, settings, event, environment="production")
    assert next(iter(json.loads(block.payload).items())) == ("@devo_environment", "production")
    (plain,) = sent(setting, settings, event)
    assert b"@devo" not in plain.payload


@each
def test_devo_pulling_id(sent, setting, settings, event):
    """`devo_pulling_id: true` puts the moment of the pull, epoch ms, into each JSON event of the service."""
    before = now_ms()
    (block,) = sent(setting, {**settings, "devo_pulling_id": True}, event)
    assert before <= json.loads(block.payload)["@devo_pulling_id"] <= now_ms()


@pytest.mark.parametrize("kind", ["audits_api", "audits_s3"])
@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({}, "999988887777.ap-south-1"),
        ({"use_region_and_account_id_from_event": True}, "999988887777.ap-south-1"),
        ({"use_region_and_account_id_from_event": False}, f"{ACCOUNT}.{REGION}"),
    ],
)
def test_use_region_and_account_id_from_event(sent, kind, settings, place):
    """A tag's account and region are the event's own, or where it was read, as the configuration says."""
    setting, common, event = JSON_SERVICES[kind]
    (block,) = sent(setting, {**common, **settings, "tag_suffix": "account_region"}, event)
    assert block.tag == f"cloud.aws.cloudtrail.events.{place}"


@pytest.mark.parametrize("mapping", [{}, {"aws.health": "logs", "EC2 State": "metrics"}])
def test_event_type_processor_mapping(sent, mapping):
    """A source or detail-type that the configuration maps has that event type; without mapping the rule's."""
    events = [
        {"source": "aws.health", "detail-type": "x"},
        {"source": "aws.ec2", "detail-type": "EC2 State"},
        {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change"},
    ]
    settings = {**QUEUED, "auto_event_type": True}
    settings |= {"event_type_processor_mapping": mapping} if mapping else {}
    found = sent("service-events-all", settings, *events)
    types = {block.tag.rpartition(".")[2]: block.count for block in found}
    assert types == ({"logs": 1, "metrics": 1, "alarm": 1} if mapping else {"events": 2, "alarm": 1})


@pytest.mark.parametrize("kind", ["audits_api", "audits_s3"])
def test_drop_event_names_are_counted(sent, kind):
    """What `drop_event_names` leaves out is not sent, and in the service's figures."""
    setting, common, event = JSON_SERVICES[kind]
    before = total("events_dropped", service=kind)
    events = [event, {**event, "eventName": "RunInstances"}, event]
    (block,) = sent(setting, {**common, "drop_event_names": ["Decrypt"]}, *events)
    assert (block.count, json.loads(block.payload)["eventName"]) == (1, "RunInstances")
    assert total("events_dropped", service=kind) - before == 2


# positions, through the real collector


@pytest.fixture
def fake() -> Iterator[fake_aws.FakeAws]:
    fake_aws.reset()
    with fake_aws.FakeAws() as running:
        yield running


START, LATER = 3300, 2800
"""Seconds ago. The later one leaves two thirds of the events out."""

LIVES = {
    "us-east-1": ((START, "same"), (START, "same"), 0),
    "eu-west-1": ((START, "changed"), (LATER, "changed"), 10),
    "eu-west-2": ((START, "removed"), (None, "removed"), 0),
    "eu-west-3": ((START, "id"), (START, "another-id"), 30),
}
"""Region → start_time (seconds ago) and id of its input in two lives, how many of 30 events come again."""


def input_of(region: str, now: int, start: int | None, identity: str) -> dict:
    service = {"types": ["audits_api"], "regions": [region], "request_period_in_seconds": 1}
    service |= {"start_time": to_datetime((now - start) * 1000).isoformat()} if start else {}
    service["tag"] = f"my.life.{region}"
    keys = {"access_key": ACCOUNT, "access_secret": "secret"}
    return {"id": identity, "credentials": keys, "services": {"audit-events-all": service}}


@pytest.mark.timeout(400)
def test_start_time_and_id_begin_anew(fake, rsyslog, certs, tmp_path, figures):
    """Another start_time resets its service and says so, another id begins anew; all else resumes."""
    now = int(time.time())
    events = [{"EventName": "Op", "EventTime": now - 3000 + 10 * number} for number in range(30)]
    for region in LIVES:
        fake_aws.put_cloudtrail_events(events, ACCOUNT, region)
    collector = Collector(SimpleNamespace(url=fake.url), tmp_path / "collector", {}, Launch("flows"))
    due: Counter = Counter()
    for life in (0, 1):
        settings = configuration({}, output(rsyslog.port, certs), tmp_path, debug=True)
        settings["inputs"] = {region: input_of(region, now, *lives[life]) for region, lives in LIVES.items()}
        collector.configure(settings)
        due.update({f"my.life.{region}": lives[2] if life else 30 for region, lives in LIVES.items()})
        log = run_until(collector, lambda: all_polled(collector) and rsyslog.size() >= due.total())
        arrived = Counter({tag: len(lines) for tag, lines in rsyslog.lines().items()})
        resets = [line for line in log.splitlines() if "cursors_reset" in line]
        figures(f"life {life + 1}: {dict(arrived)}; {' '.join(resets) or 'no reset told'}")
        assert arrived == due
        assert len(resets) == life


def run_until(collector: Collector, done: Callable[[], bool]) -> str:
    """Let the collector live until then, and drain it; return its log."""
    try:
        collector.start()
        wait_until(lambda: done() or not collector.alive, 60, "all that this life brings")
        collector.drain()
    finally:
        collector.kill()
    return collector.children[0].log.read_text()


def all_polled(collector: Collector) -> bool:
    log = collector.children[0].log.read_text()
    return set(re.findall(r" polled .*? target=(\S+)", log)) == set(LIVES)
