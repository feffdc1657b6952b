"""What is in quarantine is delivered once what was wrong has been mended, and nothing of it twice."""

import gzip
import json
from types import SimpleNamespace

import pytest
import yaml
from msgspec.structs import replace

from flows.catalogue.services import units
from flows.cli import main
from flows.config.load import load
from flows.steps import apply
from sinks.frame import guard
from sinks.quarantine import name_of, to_json
from tests.fakes.collector import configuration
from transforms.block import Block, Origin, Poison

RECORDS = [{"eventSource": "s3.amazonaws.com", "eventID": str(number)} for number in range(6)]


@pytest.fixture
def site(aws, unique, tmp_path, monkeypatch):
    """Return bucket, configuration, and a function that replays poison: exit code and lines."""
    for variable, value in aws.environment().items():
        monkeypatch.setenv(variable, value)
    services = {
        "audit-events-all": {"types": ["audits_s3"], "regions": ["us-east-1"], "audit_sqs_queue_name": "q"},
        "non-cloudwatch-logs": {
            "types": ["flowlogs"],
            "regions": ["us-east-1"],
            "vpcflowlogs_sqs_queue_name": "f",
            "format": "json",
        },
        "service-events-all": {"regions": ["us-east-1"], "cloudwatch_sqs_queue_name": "events"},
        "sqs-cloudwatch-consumer": {"regions": ["us-east-1"], "cloudwatch_sqs_queue_name": "hub"},
    }
    made = configuration(services, {"console": {"type": "console"}}, tmp_path)
    made["inputs"]["aws"]["environment"] = "prod"
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(made))

    def replay(poison, capfdbinary):
        file = tmp_path / "quarantine" / name_of(poison)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(to_json(poison, fixed()))
        code = main(["replay", str(file.parent), "--config", str(config)])
        lines = capfdbinary.readouterr().out.splitlines()
        return code, [json.loads(line.partition(b": ")[2]) for line in lines]

    return SimpleNamespace(bucket=aws.bucket(unique("quarantine")), replay=replay, config=config)


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
    uri = put(aws, site.bucket)
    poison = Poison("object_broken", "broken", Origin("audits_s3", "", "us-east-1", "q", uri, "e", 2))
    assert site.replay(poison, capfdbinary) == (0, events(2, 3, 4, 5))


def poison_of(site, service, block, limit=1 << 20):
    """Return what the transform of a service and an output of that limit make poison of a block."""
    (unit,) = [one for one in units(load(site.config)) if one.service.name == service]
    made = apply(unit.service.transform(unit), limit)([block])
    (poison,) = [one for item in made for one in fitting(item, limit) if isinstance(one, Poison)]
    return poison


def fitting(item, limit):
    return guard(item, limit) if isinstance(item, Block) else [item]


def test_a_too_large_event_is_found_in_its_object(aws, site, capfdbinary):
    """It is sent without its neighbours, though tags have put it elsewhere than it was in the object."""
    large = {"eventSource": "ec2.amazonaws.com", "eventID": "x" * 100}
    records = [one for number in range(6) for one in (RECORDS[number], {**large, "n": number})]
    records[7] |= {"more": "y" * 200}
    origin = Origin("audits_s3", "", "us-east-1", "q", put(aws, site.bucket, records), "e", 0)
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    poison = poison_of(site, "audits_s3", Block(lines, 12, origin), limit=300)
    assert poison.reason == "event_too_large"
    assert site.replay(poison, capfdbinary) == (0, [{**records[7], "@devo_environment": "prod"}])


def test_a_too_large_event_that_is_no_more_is_told(aws, site, capfdbinary):
    """Its object was written anew without it: exit code 1, and nothing else of it is sent."""
    origin = Origin("audits_s3", "", "us-east-1", "q", put(aws, site.bucket), "e", 0)
    assert site.replay(Poison("event_too_large", "large", origin, b'{"a":1}'), capfdbinary) == (1, [])


def test_a_too_large_event_of_an_api_is_sent_whole(site, capfdbinary):
    """What is in the file is the event itself, fields added and all."""
    event = {"source": "aws.ec2", "detail": "x" * 200, "@devo_environment": "prod"}
    origin = Origin("service-events-all", "", "us-east-1", "events")
    poison = Poison("event_too_large", "large", origin, json.dumps(event).encode())
    assert site.replay(poison, capfdbinary) == (0, [event])


def test_rows_of_another_width_are_tried_again_themselves(aws, site, capfdbinary):
    """Not their neighbours: the file holds the rows, its object only tells what their columns are."""
    rows = [b"version srcaddr dstaddr", b"2 a b", b"2 c", b"2 d e", b"2 f"]
    aws.put(site.bucket, "flow.log.gz", gzip.compress(b"\n".join(rows) + b"\n"))
    origin = Origin("flowlogs", "", "us-east-1", "f", f"s3://{site.bucket}/flow.log.gz", "e", 0)
    block = Block(b"\n".join([*rows[1:], b""]), 4, origin, header=rows[0])
    poison = poison_of(site, "flowlogs", block)
    assert poison.body == b"2 c\n2 f\n"
    mended = replace(poison, body=b"2 c c\n2 f f\n")
    code, lines = site.replay(mended, capfdbinary)
    assert (code, [line["dstaddr"] for line in lines]) == (0, ["c", "f"])


def test_a_message_is_opened_as_if_it_had_just_come(site, capfdbinary):
    """A message that an older release did not know is understood now."""
    body = json.dumps({"source": "aws.securityhub", "detail": {"findings": [{"Id": "1"}, {"Id": "2"}]}})
    origin = Origin("sqs-cloudwatch-consumer", "", "us-east-1", "hub")
    code, lines = site.replay(Poison("message_unknown", "unknown", origin, body.encode()), capfdbinary)
    assert code == 0
    assert [line["Id"] for line in lines] == ["1", "2"]


def test_what_is_still_wrong_is_told(aws, site, capfdbinary):
    """Nothing became better: exit code 1, and nothing is sent."""
    aws.put(site.bucket, "trail.json.gz", b"no json")
    origin = Origin("audits_s3", "", "us-east-1", "q", f"s3://{site.bucket}/trail.json.gz", "e", 0)
    assert site.replay(Poison("object_broken", "broken", origin), capfdbinary) == (1, [])


def test_a_service_that_is_no_more_is_told(site, capfdbinary):
    """Poison of a service that no input has cannot be tried."""
    assert site.replay(Poison("event_too_large", "x", Origin("logs"), b"{}"), capfdbinary) == (1, [])


def test_r3_a_mended_record_is_sent_alone(aws, site, capfdbinary):
    """A damaged record whose bytes were mended in its file is one event, its neighbours none."""
    uri = put(aws, site.bucket)
    origin = Origin("audits_s3", "", "us-east-1", "q", uri, "e", 2)
    mended = Poison("json_broken", "damaged", origin, json.dumps(RECORDS[2]).encode())
    assert site.replay(mended, capfdbinary) == (0, events(2))
    still = Poison("json_broken", "damaged", origin, b'{"eventSource":"c:\\q"}')
    assert site.replay(replace(still, origin=replace(origin, record=3)), capfdbinary)[0] == 1


def test_r3_a_line_that_was_too_long_is_sent_alone(aws, site, capfdbinary):
    """Of the object that a file points into only that line is sent, whole: those behind it were delivered."""
    row = "2 000123456789 eni-%d 10.0.0.1 10.0.0.2 1 2 6 1 40 1767323045 1767323105 ACCEPT OK\n"
    aws.put(site.bucket, "flow.log", "".join(row % number for number in range(4)).encode())
    origin = Origin("flowlogs", "", "us-east-1", "f", f"s3://{site.bucket}/flow.log", "e", 2)
    poison = Poison("line_too_long", "a line of 17 MB", origin, b"2 000")
    code, (found,) = site.replay(poison, capfdbinary)
    assert (code, "eni-2" in found.values()) == (0, True)
