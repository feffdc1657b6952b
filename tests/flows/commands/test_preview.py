"""A preview shows what would be sent, and leaves queues and positions as they were."""

import json
import re
from datetime import UTC, datetime

import pytest
import yaml

from flows.cli import main
from tests.fakes.collector import configuration
from tests.fakes.corpus import corpus, expected
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.listed_s3 import ListedS3, Stored


@pytest.fixture
def shown(aws, tmp_path, monkeypatch, capfdbinary):
    """Return a function that previews a service of some services; gives (exit code, lines, what is told)."""

    def run(services, name, *more, url=aws.url):
        for variable, value in {**aws.environment(), "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(variable, value)
        made = configuration(services, {"console": {"type": "console"}}, tmp_path)
        made["outputs"]["console"]["config"] = {"host": "here"}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
        code = main(["preview", "--config", str(tmp_path / "config.yaml"), "--service", name, *more])
        out, err = capfdbinary.readouterr()
        return code, out.splitlines(), err.decode()

    return run


def flow_logs(queue):
    return {
        "non-cloudwatch-logs": {
            "types": ["flowlogs"],
            "regions": [queue.region],
            "auto_event_type": True,
            "vpcflowlogs_sqs_queue_name": queue.name,
        }
    }


def payloads(lines):
    """Return (tag, payload) of lines of the wire."""
    found = [re.fullmatch(rb"<14>Jan  1 00:00:00 here ([^:]+): (.*)", line) for line in lines]
    return [(one[1].decode(), one[2]) for one in found]


def test_objects_are_shown_and_their_messages_handed_back(aws, unique, shown):
    """The bytes are those of the wire; the queue has the same messages as before, each received once more."""
    queue, bucket = aws.queue(unique("preview")), aws.bucket(unique("preview"))
    aws.announce_by_sqs(bucket, queue)
    samples = corpus({"vpc": 3}, seed=5)
    for sample in samples:
        aws.put(bucket, sample.key, sample.body)
    before = aws.depth(queue)
    code, lines, told = shown(flow_logs(queue), "flowlogs", "-n", "30")
    assert code == 0
    assert len(lines) == 30
    due = expected(samples, auto=True)
    assert all(event in due for event in payloads(lines))
    assert aws.depth(queue) == before
    assert f"{before.visible} messages visible, 0 in flight before" in told
    assert re.search(r"after; \d+ messages handed back, receive count 1 at most", told)
    assert "receive count 2 at most" in shown(flow_logs(queue), "flowlogs")[2]


def test_all_events_are_shown_when_there_are_fewer(aws, unique, shown):
    """A queue that is read to its end gives every event once, and waits for no more."""
    queue = aws.queue(unique("events") + ".fifo", fifo=True)
    bodies = [json.dumps({"source": "aws.ec2", "n": number}, separators=(",", ":")) for number in range(3)]
    for body in bodies:
        aws.send(queue, body)
    service = {"service-events-all": {"regions": [queue.region], "cloudwatch_sqs_queue_name": queue.name}}
    code, lines, _ = shown(service, "service-events-all")
    assert code == 0
    assert payloads(lines) == [("cloud.aws.cloudwatch.events", body.encode()) for body in bodies]
    assert aws.depth(queue) == (3, 0)


def test_what_would_be_quarantined_is_told(aws, unique, shown):
    """An unknown message is told with its reason, and stays in its queue."""
    queue = aws.queue(unique("preview"))
    aws.send(queue, "no notice")
    code, lines, told = shown(flow_logs(queue), "flowlogs")
    assert (code, lines) == (0, [])
    assert "would go to quarantine: notice_unknown: message " in told
    assert aws.depth(queue) == (1, 0)


def test_a_queue_that_is_missing_is_one_line(unique, shown):
    """What cannot be read is told as `run` tells it, with exit code 1."""

    class Missing:
        region, name = "us-east-1", unique("missing")

    code, lines, told = shown(flow_logs(Missing), "flowlogs")
    assert (code, lines) == (1, [])
    assert Missing.name in told


def test_an_unknown_service_names_those_that_are_enabled(aws, unique, shown):
    """A wrong name is a usage error; services of any name are told by that name."""
    own = {"regions": ["us-east-1"], "file_format": {"type": "json"}, "routing_template": "my.app.web"}
    services = flow_logs(aws.queue(unique("preview"))) | {
        "web-apps": {**own, "sqs_queue_name": "q"},
        "lambda": {"types": ["logs"], "regions": ["us-east-1"], "log_group": "/"},
    }
    code, _, told = shown(services, "guardduty")
    assert code == 2
    hint = "name one of lambda, flowlogs, web-apps"
    assert told == f"no such service is enabled: --service guardduty: {hint}\n"


def test_an_api_is_asked_for_its_last_hour(shown):
    """Without a start_time there would be nothing yet to see."""
    with fake_aws.FakeAws() as api:
        fake_aws.reset()
        fake_aws.put_cloudtrail_events(
            [{"EventName": f"Call{n}", "EventTime": fake_aws.CLOCK.now() - 600 - n} for n in range(3)]
        )
        service = {"audit-events-all": {"types": ["audits_api"], "regions": ["us-east-1"]}}
        code, lines, told = shown(service, "audits_api", url=api.url)
        fake_aws.reset()
    assert (code, told) == (0, "")
    assert {json.loads(payload)["eventName"] for _, payload in payloads(lines)} == {"Call0", "Call1", "Call2"}


def test_a_listed_bucket_is_shown_and_its_position_kept(shown):
    """What came in the last hour is shown; nothing is noted."""
    now = datetime.now(UTC)
    with ListedS3() as s3:
        key = f"a/dnslogs/{now:%Y-%m-%d}/{now:%Y-%m-%d-%H-%M}-ab12.csv.gz"
        s3.bucket("vendor").put([Stored(key, b'"x","y"\n', now)])
        umbrella = {"regions": ["us-east-1"], "s3_listing": "s3://vendor/a/"}
        code, lines, told = shown({"cisco-umbrella": umbrella}, "cisco-umbrella", url=s3.url)
    assert (code, payloads(lines)) == (0, [("sig.cisco.umbrella.dns", b'"x","y"')])
    assert "listing of s3://vendor/a/" in told
