"""Every service takes the same filters: what they drop is counted by rule, what they hide is gone."""

import json
from pathlib import Path

import pytest
import yaml

from flows.catalogue.service import ConfiguredService
from flows.catalogue.services import CATALOGUE, OBJECT_TYPES, every, units
from flows.config.errors import SettingsError
from flows.config.load import load
from tests.conformance.test_catalogue import EVENT, block, options, unit
from transforms.block import Block, Item, Origin
from transforms.telemetry import total

NAMED = {
    "audits_s3": "GetObject",
    "audits_api": "GetObject",
    "flowlogs": "ACCEPT",
    "service-events-all": "x",
    "sqs-cloudwatch-consumer": "t",
    "metrics-all": "CPUUtilization",
    "logs": "g",
    "aws-guardduty": "Recon:EC2/Portscan",
    "cloudfrontlogs": "Hit",
}
"""The name of an event of each service that has names."""
MORE = {
    "sqs-cloudwatch-consumer": b'{"Id":"f","Title":"t"}',
    "metrics-all": b'{"namespace":"AWS/EC2","metricName":"CPUUtilization"}',
    "aws-guardduty": b'{"id":"f","type":"Recon:EC2/Portscan"}',
    "cloudfrontlogs": b"2026-01-02\tHit",
}
FIELDS = {
    "audits_s3": ("eventName", "GetObject"),
    "audits_api": ("eventName", "GetObject"),
    "flowlogs": ("action", "ACCEPT"),
    "cloudfrontlogs": ("x-edge-location", "FRA60-P1"),
    "cisco-umbrella": ("1", "a"),
    "service-events-all": ("source", "aws.ec2"),
    "sqs-cloudwatch-consumer": ("Id", "f"),
    "metrics-all": ("namespace", "AWS/EC2"),
    "logs": ("logGroup", "g"),
    "aws-guardduty": ("id", "f"),
}
"""A field of the event of each service, by its name or number, and its value."""
ten = pytest.mark.parametrize("name", sorted(EVENT))


def unit_of(name: str, **more: object) -> ConfiguredService:
    """Return a configured unit of one of the ten services."""
    return unit(every()[name], **more)


def run(name: str, *events: bytes, header: bytes = b"", **settings: object) -> list[Item]:
    one = unit_of(name, **settings)
    payload = b"".join(event + b"\n" for event in events)
    origin = block(every()[name]).origin
    return list(one.service.transform(one)(Block(payload, len(events), origin, header=header)))


def rule(**condition: object) -> list[list[dict[str, object]]]:
    return [[condition]]


@ten
def test_the_line_may_drop_an_event(name):
    """A pattern on the event's text leaves it out of each service, and it is counted under its rule."""
    before = total("events_dropped", service=name, rule="line_filter_rules[0]")
    other = EVENT[name].replace(b"1", b"2").replace(b"a", b"z")
    pattern = json.loads(json.dumps(EVENT[name].decode()))[:12].replace("{", "[{]").replace("|", ".")
    made = run(name, EVENT[name], line_filter_rules=rule(pattern=f"^{pattern}"))
    assert made == []
    assert total("events_dropped", service=name, rule="line_filter_rules[0]") - before == 1
    (kept,) = run(name, other, line_filter_rules=rule(pattern="^nothing like it$"))
    assert kept.payload == other + b"\n"


@ten
def test_a_field_may_drop_an_event(name):
    """A rule on a field works for JSON and for rows, whose columns have names or numbers."""
    key, value = FIELDS[name]
    header = b"date\ttime\tx-edge-location\tsc-bytes" if name == "cloudfrontlogs" else b""
    settings = {"record_field_mapping": {"f": {"keys": [key]}}}
    dropping = rule(source="record", key="f", value=value)
    assert run(name, EVENT[name], header=header, line_filter_rules=dropping, **settings) == []
    keeping = rule(source="record", key="f", value=value, type="doesnotmatch")
    (kept,) = run(name, EVENT[name], header=header, line_filter_rules=keeping, **settings)
    assert kept.payload == EVENT[name] + b"\n"


@ten
def test_a_sample_may_be_sent(name):
    """`keep_one_in` thins out each service's events; what is left out is counted."""
    before = total("events_dropped", service=name, rule="keep_one_in")
    events = [EVENT[name].replace(b"1", b"1%d" % n).replace(b'"f"', b'"f%d"' % n) for n in range(200)]
    events = [
        event.replace(b'"g"', b'"g%d"' % n).replace(b"EC2", b"EC%d" % n) for n, event in enumerate(events)
    ]
    events = [event.replace(b"aws.ec2", b"aws.ec%d" % n) for n, event in enumerate(events)]
    sent = sum(one.count for one in run(name, *events, keep_one_in=4))
    assert 20 < sent < 90
    assert total("events_dropped", service=name, rule="keep_one_in") - before == 200 - sent


@ten
def test_names_may_drop_events(name):
    """`drop_event_names` compares what names an event of the service; one without names refuses it."""
    event = MORE.get(name, EVENT[name])
    header = b"date\tx-edge-result-type" if name == "cloudfrontlogs" else b""
    if name not in NAMED:
        assert not every()[name].event_name
        return
    assert run(name, event, header=header, drop_event_names=[NAMED[name]]) == []
    (kept,) = run(name, event, header=header, drop_event_names=["Other"])
    assert kept.count == 1


@ten
def test_nothing_is_dropped_by_default(name):
    """Without settings a service's transform is what it was: no filter stands before it, no mask behind."""
    service = every()[name]
    plain, made = options(service), service.transform(unit_of(name))
    assert (plain.filter_rules, plain.mask, plain.drop_event_names) == ({}, None, ())
    assert not {"transforms.filters", "transforms.masking"} & {made.__module__}


def test_a_mask_hides_a_field_of_json():
    """A masked field is gone from what is sent, also where rows become JSON."""
    (made,) = run("audits_s3", EVENT["audits_s3"], mask={"keys": "eventName", "with": "x"})
    assert json.loads(made.payload)["eventName"] == "x"
    (flow,) = run("flowlogs", EVENT["flowlogs"], format="json", mask={"keys": ["srcaddr"]})
    assert (json.loads(flow.payload)["srcaddr"], json.loads(flow.payload)["dstaddr"]) == ("***", "10.0.0.2")


def loaded(tmp_path, service, **settings):
    around = {"regions": ["eu-west-1"], "sqs_queue_name": "q"}
    content = {"inputs": {"a": {"id": "1", "services": {service: {**around, **settings}}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    return load(tmp_path / "config.yaml", {})


@pytest.mark.parametrize(
    ("service", "settings", "told"),
    [
        (
            "cisco-umbrella",
            {"drop_event_names": ["x"]},
            "drop_event_names: events of cisco-umbrella have no names",
        ),
        ("cisco-umbrella", {"mask": {"keys": ["x"]}}, "mask: events of cisco-umbrella are text"),
        (
            "non-cloudwatch-logs",
            {"types": ["flowlogs"], "mask": {"keys": ["x"]}},
            "mask: events of flowlogs are text: .*format: json",
        ),
        (
            "aws_sqs_s3_access",
            {"record_field_mapping": {"x": {"keys": ["y"]}}},
            "record_field_mapping: events of aws_sqs_s3_access are text",
        ),
        ("cisco-umbrella", {"line_filter_rules": rule(source="record", key="x")}, "asks for record field x"),
        ("cisco-umbrella", {"line_filter_rules": rule(source="file", key="x")}, "asks for file field x"),
        (
            "cisco-umbrella",
            {"line_filter_rules": rule(pattern="a", keep_one_in=2)},
            "two conditions of one list",
        ),
        ("cisco-umbrella", {"mask": {"keys": ["a..b"]}}, "'a..b'"),
        ("cisco-umbrella", {"mask": {"keys": []}}, "it is empty"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, service, settings, told):
    """A rule on what the events do not have is an error, not a rule that never fits."""
    with pytest.raises(SettingsError, match=told):
        loaded(tmp_path, service, **settings)


@pytest.mark.parametrize("name", sorted(one.name for one in OBJECT_TYPES))
def test_types_of_objects_take_them_too(tmp_path, name):
    """Each type of Devo's SQS collector has the line's rules, a sample, and those on keys."""
    settings = {"keep_one_in": 1_000_000, "filename_filter_rules": [[{"pattern": "tmp/"}]]}
    (one,) = units(loaded(tmp_path, name, **settings))
    assert one.options.left_out("a/tmp/b") == "filename_filter_rules[0]"
    assert one.options.left_out("a/b") == ""
    before = total("events_dropped", service=name)
    event = Block(b'{"a":1}\n', 1, Origin(name, object="s3://b/a/vpcflowlogs/x"))
    assert list(one.service.transform(one)(event)) == []
    assert total("events_dropped", service=name) - before == 1


@pytest.mark.parametrize("name", sorted(one.name for one in CATALOGUE if one.layout))
def test_keys_may_leave_out_objects(name):
    """The services of the AWS collector that read objects have rules on keys, counted apart."""
    settings = {
        "filename_filter_rules": [[], [{"pattern": "tmp/"}, {"type": "doesnotmatch", "pattern": "x"}]]
    }
    why = options(every()[name], s3_file_type_filter="gz$", **settings).left_out
    assert [why(key) for key in ("a.gz", "a", "tmp/a.gz", "tmp/x.gz")] == [
        "",
        "key_filter",
        "filename_filter_rules[1]",
        "",
    ]


def test_the_documented_names_are_the_catalogues():
    """docs/types.md has a row for each field that names events, with the services that have it."""
    shown = (Path(__file__).parents[3] / "docs/types.md").read_text()
    fields: dict[str, list[str]] = {}
    for name, one in every().items():
        if one.event_name:
            fields.setdefault(".".join(one.event_name), []).append(f"`{name}`")
    for field, services in fields.items():
        assert f"| {', '.join(services)} | `{field}` |" in shown
