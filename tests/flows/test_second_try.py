"""What is in quarantine is delivered once what was wrong has been mended, and nothing of it twice."""

import gzip
import json

import pytest
import yaml

from flows.cli import main
from sinks.quarantine import name_of, to_json
from tests.fakes.collector import configuration
from transforms.block import Origin, Poison

RECORDS = [{"eventSource": "s3.amazonaws.com", "eventID": str(number)} for number in range(6)]


@pytest.fixture
def site(aws, unique, tmp_path, monkeypatch):
    """Return (bucket, function that replays poison: exit code and lines)."""
    for variable, value in aws.environment().items():
        monkeypatch.setenv(variable, value)
    services = {
        "audit-events-all": {"types": ["audits_s3"], "regions": ["us-east-1"], "audit_sqs_queue_name": "q"},
        "sqs-cloudwatch-consumer": {"regions": ["us-east-1"], "cloudwatch_sqs_queue_name": "hub"},
    }
    made = configuration(services, {"console": {"type": "console"}}, tmp_path)
    made["inputs"]["aws"]["environment"] = "prod"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))

    def replay(poison, capfdbinary):
        file = tmp_path / "quarantine" / name_of(poison)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(to_json(poison, fixed()))
        code = main(["replay", str(file.parent), "--config", str(tmp_path / "config.yaml")])
        lines = capfdbinary.readouterr().out.splitlines()
        return code, [json.loads(line.partition(b": ")[2]) for line in lines]

    return aws.bucket(unique("quarantine")), replay


def fixed():
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime(2026, 1, 1, tzinfo=UTC)


def events(*numbers):
    return [{**RECORDS[number], "@devo_environment": "prod"} for number in numbers]


def put(aws, bucket, records=RECORDS):
    aws.put(bucket, "trail.json.gz", gzip.compress(json.dumps({"Records": records}).encode()))
    return f"s3://{bucket}/trail.json.gz"


def test_an_object_goes_on_behind_what_was_delivered(aws, site, capfdbinary):
    """Broken after two records, then written anew: the other four are sent."""
    bucket, replay = site
    uri = put(aws, bucket)
    poison = Poison("object_broken", "broken", Origin("audits_s3", "", "us-east-1", "q", uri, "e", 2))
    assert replay(poison, capfdbinary) == (0, events(2, 3, 4, 5))


def test_of_a_broken_event_only_that_event_is_sent(aws, site, capfdbinary):
    """An event that was too large is taken from its object again, without its neighbours."""
    bucket, replay = site
    origin = Origin("audits_s3", "", "us-east-1", "q", put(aws, bucket), "e", 3)
    poison = Poison("event_too_large", "large", origin, json.dumps(RECORDS[3]).encode())
    assert replay(poison, capfdbinary) == (0, events(3))


def test_a_message_is_opened_as_if_it_had_just_come(site, capfdbinary):
    """A message that an older release did not know is understood now."""
    _, replay = site
    body = json.dumps({"source": "aws.securityhub", "detail": {"findings": [{"Id": "1"}, {"Id": "2"}]}})
    origin = Origin("sqs-cloudwatch-consumer", "", "us-east-1", "hub")
    code, lines = replay(Poison("message_unknown", "unknown", origin, body.encode()), capfdbinary)
    assert code == 0
    assert [line["Id"] for line in lines] == ["1", "2"]


def test_what_is_still_wrong_is_told(aws, site, capfdbinary):
    """Nothing became better: exit code 1, and nothing is sent."""
    bucket, replay = site
    aws.put(bucket, "trail.json.gz", b"no json")
    origin = Origin("audits_s3", "", "us-east-1", "q", f"s3://{bucket}/trail.json.gz", "e", 0)
    assert replay(Poison("object_broken", "broken", origin), capfdbinary) == (1, [])


def test_a_service_that_is_no_more_is_told(site, capfdbinary):
    """Poison of a service that no input has cannot be tried."""
    _, replay = site
    assert replay(Poison("event_too_large", "x", Origin("logs"), b"{}"), capfdbinary) == (1, [])
