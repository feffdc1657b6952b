"""Devo's SQS collector: its documented forms load, and what cannot work is told with a hint."""

import re
import threading
from pathlib import Path

import pytest
import yaml

from flows.catalogue.object_types import CUSTOM, OBJECT_TYPES, type_of
from flows.catalogue.service import RunContext
from flows.catalogue.services import SETTINGS, every, units
from flows.config.load import SettingsError, load
from flows.config.objects import SqsLogsSettings
from flows.config.read import read
from transforms.block import Block, Origin

DOCUMENTED = {
    "aws_sqs_config": "cloud.aws.configlogs.events",
    "aws_sqs_elb": "web.aws.elb.access",
    "aws_sqs_alb": "web.aws.alb.access",
    "aws_sqs_cisco_umbrella": "sig.cisco.umbrella.dns",
    "aws_sqs_cloudflare_logpush": "cloud.cloudflare.logpush.http",
    "aws_sqs_cloudflare_audit": "cloud.aws.cloudflare.audit",
    "aws_sqs_cloudtrail": "cloud.aws.cloudtrail.s3",
    "aws_sqs_cloudtrail_kinesis": "cloud.aws.cloudtrail.s3",
    "aws_sqs_cloudwatch": "cloud.aws.cloudwatch.logs",
    "aws_sqs_cloudwatch_vpc": "cloud.aws.vpc.flow",
    "aws_sqs_control_tower": "cloud.aws.cloudtrail.s3",
    "aws_sqs_incapsula": "cef0.imperva.incapsula",
    "aws_sqs_jamf": "my.app.dnslogs.logs",
    "aws_sqs_kubernetes": "my.app.kubernetes.events",
    "aws_sqs_lacework": "monitor.lacework",
    "aws_sqs_os": "box.dnslogs.AWSLogs.us",
    "aws_sqs_palo_alto": "firewall.paloalto.dnslogs",
    "aws_sqs_rds": "cloud.aws.rds.audit",
    "aws_sqs_s1_funnel": "edr.sentinelone.dv",
    "aws_sqs_fdr": "edr.crowdstrike.cannon.x",
    "aws_sqs_fdr_large": "edr.crowdstrike.cannon.x",
    "aws_sqs_guard_duty": "cloud.aws.guardduty.findings",
    "aws_sqs_guard_duty_kinesis": "cloud.aws.guardduty.findings",
    "aws_sqs_route53": "dns.aws.route53",
    "aws_sqs_s3_access": "web.aws.s3.access",
    "aws_sqs_vpc": "cloud.aws.vpc.flow",
    "aws_sqs_waf": "cloud.aws.waf.logs",
}
"""Devo's own table of services and tables (Control Tower: that of the object in the test)."""
OF_TABLES = {
    "aws_sqs_network_firewall": "cloud.aws.firewall.unknown",
    "aws_sqs_security_lake": "cloud.aws.security_lake.event",
    "aws_sqs_client_vpn": "vpn.aws.client",
}
"""Ours, under tables of Devo's list of supported technologies."""

QUEUE = "https://us-west-1.queue.amazonaws.com/123456789012/name-of-queue"
EXAMPLE = {
    "file_field_definitions": {
        "log_type": [
            {"operator": "split", "on": "/", "element": 0},
            {"operator": "replace", "to_replace": "_", "replace_with": ""},
        ]
    },
    "filename_filter_rules": [[{"type": "match", "pattern": "CloudTrail-Digest"}]],
    "encoding": "gzip",
    "send_filtered_out_to_unknown": False,
    "file_format": {"type": "line_split_processor", "config": {"json": True}},
    "record_field_mapping": {"event_simpleName": {"keys": ["event_simpleName"]}},
    "routing_template": "my.app.web.[file-log_type]",
    "line_filter_rules": [
        [{"source": "record", "key": "event_simpleName", "type": "match", "value": "EndOfProcess"}]
    ],
}
"""As in Devo's documentation of a custom service."""


def loaded(tmp_path, services, **of_input):
    """Load a configuration with one input of Devo's SQS collector."""
    around = {"id": "12351", "region": "us-west-1", "base_url": QUEUE, "sqs_visibility_timeout": 240}
    content = {"inputs": {"sqs_collector": {**around, **of_input, "services": services}}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return load(path, {})


def unit(tmp_path, name, options, **of_input):
    (one,) = units(loaded(tmp_path, {name: options}, **of_input))
    return one


def refused(tmp_path, name, **options):
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, {name: options})
    return str(caught.value)


def test_every_documented_service_is_there():
    """The catalogue has Devo's types; those that are ours beside them show their tags in golden files."""
    assert {*DOCUMENTED, *OF_TABLES} == {service.name for service in OBJECT_TYPES}
    assert {service.name for service in OBJECT_TYPES} <= set(SETTINGS)
    assert CUSTOM.name not in every()


@pytest.mark.parametrize("name", [*DOCUMENTED, *OF_TABLES])
def test_a_service_needs_no_settings(tmp_path, name):
    """`{}` collects from the input's queue, under the tag that Devo documents."""
    one = unit(tmp_path, name, {})
    assert one.service.name == one.service_key == name
    assert one.options.queues(name) == [("us-west-1", QUEUE)]
    assert one.options.visibility_timeout_seconds == 240
    key = "s3://b/dnslogs/AWSLogs/000123456789/CloudTrail/eu-west-1/x.json.gz"
    origin = Origin(name, "000123456789", "eu-west-1", object=key)
    event = b'{"eventSource":"s3.amazonaws.com","event_simpleName":"X"}\n'
    (made,) = one.service.transform(one)(Block(event, 1, origin))
    assert made.tag == {**DOCUMENTED, **OF_TABLES}[name]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_tags_can_be_the_users_own(tmp_path, name):
    """`tag` and `tag_suffix` work as with every other service."""
    key = "AWSLogs/000123456789/CloudTrail/eu-west-1/x"
    origin = Origin(name, "000123456789", "eu-west-1", object=key)
    block = Block(b'{"a":1}\n', 1, origin)
    one = unit(tmp_path, name, {"tag": "my.app.{region}", "tag_suffix": "account_region"})
    (made,) = one.service.transform(one)(block)
    assert made.tag == "my.app.eu-west-1.000123456789.eu-west-1"


def test_devos_example_of_a_custom_service_loads(tmp_path):
    """The documented custom service becomes one of the user's own tag, filters and fields."""
    one = unit(tmp_path, "custom_service", EXAMPLE, ack_messages=True, do_not_send=False, direct_mode=False)
    assert (one.service, one.step_id) == (CUSTOM, "12351-custom_service-custom")
    assert one.options.key_filter("web_x/1")
    assert not one.options.key_filter("AWSLogs/1/CloudTrail-Digest/1")
    block = Block(b'{"event_simpleName":"EndOfProcess"}\n{"n":1}\n', 2, Origin("custom", object="we_b/1"))
    (made,) = one.service.transform(one)(block)
    assert (made.tag, made.payload) == ("my.app.web.web", b'{"n":1}\n')
    assert one.service.source(one, RunContext(threading.Event())).list_parts()


def test_the_documented_custom_service_loads(tmp_path):
    """What docs/types.md shows works as it stands there."""
    shown = (Path(__file__).parents[3] / "docs/types.md").read_text()
    (text,) = re.findall(r"```yaml\n(services:.*?)```", shown, re.DOTALL)
    (tmp_path / "shown.yaml").write_text(text)
    services = read(tmp_path / "shown.yaml")["services"]
    (one,) = units(loaded(tmp_path, services, base_url=None))
    event = b'{"log":{"level":"in fo"}}\n{"log":{"level":"debug"}}\n'
    (made,) = one.service.transform(one)(Block(event, 2, Origin("x", object="s3://b/web_1/red/a")))
    assert (made.tag, made.payload) == ("my.app.web-1.in_fo", b'{"team":"red","log":{"level":"in fo"}}\n')


def test_dropped_events_are_counted(tmp_path, monkeypatch):
    """What line_filter_rules drop is told with the service and the number."""
    told = []
    monkeypatch.setattr("sources.telemetry.events_dropped", lambda *fields: told.append(fields))
    one = unit(tmp_path, "custom_service", EXAMPLE)
    block = Block(b'{"event_simpleName":"EndOfProcess"}\n' * 3, 3, Origin("custom", object="a/1"))
    assert list(one.service.transform(one)(block)) == []
    assert told == [("custom", "line_filter_rules[0]", 3)]


def test_a_service_may_be_overridden_in_part(tmp_path):
    """Filters, fields and a template of one's own work with the documented services too."""
    options = {
        "line_filter_rules": [[{"pattern": " 200 "}]],
        "key_pattern": "^(?P<team>[a-z]+)/",
        "routing_template": "my.web.[file-team].{account}",
    }
    one = unit(tmp_path, "aws_sqs_alb", options)
    origin = Origin("aws_sqs_alb", object="red/AWSLogs/000123456789/elasticloadbalancing/eu-west-1/x")
    (made,) = one.service.transform(one)(Block(b"a 200 b\na 404 b\n", 2, origin))
    assert (made.tag, made.payload) == ("my.web.red.000123456789", b"a 404 b\n")
    filtered = unit(tmp_path, "aws_sqs_cloudtrail", {"line_filter_rules": [[{"pattern": "Decrypt"}]]})
    rows = b'{"eventSource":"kms.amazonaws.com","eventName":"Decrypt"}\n{"eventSource":"s3.amazonaws.com"}\n'
    (made,) = filtered.service.transform(filtered)(Block(rows, 2, Origin("x")))
    assert (made.tag, made.count) == ("cloud.aws.cloudtrail.s3", 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"routing_template": "my.app.x"}, "custom_service has no file_format"),
        ({"file_format": {"type": "csv"}}, "custom_service has no routing_template"),
        ({**EXAMPLE, "routing_template": "my"}, "1 level"),
        ({**EXAMPLE, "routing_template": "a.b.c.d.e.f.g"}, "7 levels"),
        ({**EXAMPLE, "routing_template": "my.app.[file-nope]"}, "file field nope"),
        ({**EXAMPLE, "routing_template": "my.app.[record-nope]"}, "record field nope"),
        ({**EXAMPLE, "routing_template": "my.app.[key-x]"}, "[key-x]"),
        ({**EXAMPLE, "routing_template": "my.app.ünknown"}, "letters, digits"),
        ({**EXAMPLE, "add_file_fields": ["nope"]}, "file field nope"),
        ({**EXAMPLE, "tag": "my.app.x"}, "tag and routing_template"),
        ({**EXAMPLE, "file_format": {"type": "line_split"}}, "only JSON events have fields"),
        ({**EXAMPLE, "routing_template": "a.b.c.d.e", "tag_suffix": "account_region"}, "tag_suffix"),
        ({**EXAMPLE, "line_filter_rules": [[{"pattern": "(a)\\1"}]]}, "RE2"),
        ({**EXAMPLE, "line_filter_rules": [[{"value": "x"}]]}, "give a pattern"),
        ({**EXAMPLE, "line_filter_rules": [[{"source": "record"}]]}, "has no key"),
        (
            {**EXAMPLE, "line_filter_rules": [[{"source": "record", "key": "no", "value": "x"}]]},
            "record field no",
        ),
        ({**EXAMPLE, "key_pattern": r"(a)\1"}, "back-references"),
        ({**EXAMPLE, "filename_filter_rules": [[{"pattern": "a(?=b)"}]]}, "look-around"),
        ({**EXAMPLE, "send_filtered_out_to_unknown": True}, "send_filtered_out_to_unknown"),
        ({**EXAMPLE, "sqs_queue_name": "a", "queue_url": QUEUE}, "queue twice"),
        ({**EXAMPLE, "file_formt": {}}, "did you mean file_format?"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, options, told):
    """Each mistake is one line with its place and what to do."""
    text = refused(tmp_path, "custom_service", **options)
    assert told in text
    assert "inputs.sqs_collector.services.custom_service" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("around", "told"),
    [
        ({"ack_messages": False}, "use python -m flows preview"),
        ({"do_not_send": True}, "use an output of type console"),
        ({"base_url": "name-of-queue"}, "base_url"),
        ({"region": "nowhere"}, "is no region"),
        ({"base_url": None}, "has no queue"),
    ],
)
def test_an_input_cannot_ask_for_what_is_not_done(tmp_path, around, told):
    """Keys that would change what happens to messages are refused, not ignored."""
    with pytest.raises(SettingsError, match=told):
        loaded(tmp_path, {"aws_sqs_waf": {}}, **around)


def test_two_services_never_share_the_inputs_queue(tmp_path):
    """Each would delete the other's messages: with one base_url there is one service."""
    with pytest.raises(SettingsError, match="base_url is the queue of aws_sqs_alb and aws_sqs_waf"):
        loaded(tmp_path, {"aws_sqs_waf": {}, "aws_sqs_alb": {}})
    apart = loaded(tmp_path, {"aws_sqs_waf": {}, "aws_sqs_alb": {"sqs_queue_name": "other"}})
    queues = {one.service_key: one.options.queues("") for one in units(apart)}
    assert queues == {"aws_sqs_waf": [("us-west-1", QUEUE)], "aws_sqs_alb": [("us-west-1", "other")]}


@pytest.mark.parametrize("key", ["sqs_queue_name", "queue_name", "queue_url"])
def test_a_queue_has_three_spellings(key):
    """Name or URL under any of the keys, in the AWS collector's input as well."""
    options = SqsLogsSettings.model_validate({"regions": ["eu-west-1"], key: QUEUE})
    assert options.queues("") == [("us-west-1", QUEUE)]


@pytest.mark.parametrize(
    "key",
    [
        "AWSLogs/1/Config/ConfigWritabilityCheckFile",
        "AWSLogs/000123456789/ELBAccessLogTestFile",
        "data/0-1/_SUCCESS",
        "http/ownership-challenge-1.txt",
    ],
)
def test_files_beside_the_logs_are_not_read(key):
    """What is written to try a bucket or to end a batch is settled unread."""
    assert not SqsLogsSettings(enabled=False).key_filter(key)
    assert SqsLogsSettings(enabled=False).key_filter(key + "/x")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("o-abc/AWSLogs/o-abc/000123456789/CloudTrail/us-east-1/2026/01/02/x.json.gz", "aws_sqs_cloudtrail"),
        ("AWSLogs/000123456789/CloudTrail-Digest/us-east-1/2026/01/02/x.json.gz", "aws_sqs_cloudtrail"),
        ("o-abc/AWSLogs/000123456789/vpcflowlogs/us-east-1/2026/01/02/x.log.gz", "aws_sqs_vpc"),
        ("AWSLogs/aws-account-id=1/aws-service=vpcflowlogs/aws-region=us-east-1/x.parquet", "aws_sqs_vpc"),
        ("o-abc/AWSLogs/000123456789/Config/us-east-1/2026/1/2/ConfigHistory/x.json.gz", "aws_sqs_config"),
        ("E2EXAMPLE.2026-01-02-03.a1b2c3d4.gz", "cloudfront"),
        ("cdn/E2EXAMPLE.2026-01-02-03.a1b2c3d4.gz", "cloudfront"),
        ("AWSLogs/000123456789/GuardDuty/us-east-1/2026/01/02/x.jsonl.gz", "aws_sqs_guard_duty"),
        ("AWSLogs/000123456789/WAFLogs/us-east-1/front/x.log.gz", "aws_sqs_waf"),
        ("AWSLogs/000123456789/vpcdnsquerylogs/vpc-1/2026/01/02/x.log.gz", "aws_sqs_route53"),
        (
            "AWSLogs/1/elasticloadbalancing/us-east-1/1_x_us-east-1_app.a.log.gz",
            "aws_sqs_alb",
        ),
        ("AWSLogs/1/elasticloadbalancing/us-east-1/1_elasticloadbalancing_us-east-1_a.log", "aws_sqs_elb"),
        ("logs/2026-01-02-03-04-05-0123456789ABCDEF", "aws_sqs_s3_access"),
        ("notes/readme.txt", None),
    ],
)
def test_a_mixed_queues_type_is_told_by_the_key(key, name):
    """Control Tower's buckets hold several types; an unknown one is not guessed."""
    found = type_of(key)
    assert (found.name if found else None) == name
