"""The types of Devo's SQS collector, one value each, and the custom service.

Names and tags are documented by Devo, in the table of its SQS collector's services ("AWS (S3+SQS)",
column "Devo table"); what it leaves open is marked (I) inferred or (N) our own, and told in DECISIONS.md.
"""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from flows.catalogue.calls import PUBLIC_KEYS
from flows.catalogue.object_type import JSON_LINES, ObjectType, SqsUnit, service, tagged
from flows.catalogue.service import Service
from flows.catalogue.tagging import cloudtrail_records, flow_logs, rule, stamp, umbrella_rows, web_logs
from flows.config.objects import SqsLogsSettings
from transforms import cloudfront, cloudtrail, documents, object_kinds, routed, umbrella, vpcflow
from transforms.block import Block, Item, Transform, divide
from transforms.columns import Columns
from transforms.fields import RecordField, key_fields, record_values, replaced, split
from transforms.layout import Layout
from transforms.object_kinds import json_with, text_like
from transforms.tags import FALLBACK, TagRule, level


def _cloudtrail(unit: SqsUnit) -> Transform:
    return cloudtrail_records(unit, auto_event_type=unit.options.auto_event_type is not False)


def _as_json(options: SqsLogsSettings) -> bool:
    return options.format == "json"


_FALCON = "edr.crowdstrike.cannon"
_FALCON_EVENT = (RecordField("event", ("event_simpleName",), (str.lower,)),)


def _crowdstrike(unit: SqsUnit) -> Transform:
    """CrowdStrike's events: a table for each event_simpleName; inventories, which have none, share one."""
    options = unit.options
    if options.tag or options.auto_event_type is False:
        return routed.transform(routed.RoutedOptions(rule(unit, _FALCON), stamp=stamp(unit)))
    marks = stamp(unit)

    def run(block: Block) -> Iterator[Item]:
        (names,) = record_values(block.payload, block.count, _FALCON_EVENT)
        for name, part in divide(block, names).items():
            made = TagRule(f"{_FALCON}.{level(name)}" if name else _FALCON, options.tag_suffix)
            yield marks.on(replace(part, tag=made.tag_of_object(FALLBACK, block.origin)))

    return run


def _log_events(unit: SqsUnit) -> Transform:
    """CloudWatch Logs' events, with the region, which their files do not tell."""
    made = routed.transform(routed.RoutedOptions(rule(unit, "cloud.aws.cloudwatch.logs"), stamp=stamp(unit)))
    return lambda block: made(object_kinds.with_region(block))


_BY_FOLDER = key_fields(
    {"log_type": (split("/", 0), replaced("_", "")), "log_subtype": (split("/", 1), replaced("_", ""))}
)
"""(I): as `log_type` is made in Devo's example of `file_field_definitions`; the settings' own ones win."""

_TYPES: tuple[ObjectType, ...] = (
    ObjectType(
        "aws_sqs_cloudtrail",
        "CloudTrail",
        cloudtrail.TEMPLATE,
        Layout(records="Records"),
        event_name=cloudtrail.EVENT_NAME,
        mixed=r"/CloudTrail(?:-[A-Za-z]+)?/",  # AWS names a folder for each category, and adds some
        own=_cloudtrail,
        digests=PUBLIC_KEYS,
        protected=True,
    ),
    ObjectType(
        "aws_sqs_cloudtrail_kinesis",
        "CloudTrail by way of Firehose",
        cloudtrail.TEMPLATE,
        Layout(values=True, unwrap=documents.carried),
        object_kinds.is_trail_subscription,
        event_name=cloudtrail.EVENT_NAME,
        own=_cloudtrail,
        protected=True,
    ),
    ObjectType(
        "aws_sqs_vpc",
        "VPC flow logs",
        vpcflow.TEMPLATE,
        Layout(
            is_header=vpcflow.is_header,
            glued=True,
            other_headers=vpcflow.other_headers,
            column=vpcflow.column,
        ),
        text=True,
        some_json=_as_json,
        columns=vpcflow.COLUMNS,
        event_name=("action",),
        mixed=r"/(?:aws-service=)?vpcflowlogs/",
        own=flow_logs,
    ),
    ObjectType(
        "aws_sqs_cloudwatch_vpc",
        "VPC flow logs by way of CloudWatch Logs and Firehose",
        vpcflow.TEMPLATE,
        Layout(values=True, unwrap=documents.carried),
        object_kinds.is_flow_subscription,
        text=True,
        some_json=_as_json,
        columns=vpcflow.COLUMNS,
        event_name=("action",),
        own=flow_logs,
    ),
    ObjectType(
        "aws_sqs_cloudwatch",
        "CloudWatch Logs by way of Firehose",
        "cloud.aws.cloudwatch.logs",
        Layout(values=True, unwrap=documents.log_events),
        object_kinds.is_subscription,
        own=_log_events,
    ),
    ObjectType(
        "aws_sqs_config",
        "AWS Config's history and snapshots",
        "cloud.aws.configlogs.events",
        Layout(records="configurationItems"),
        object_kinds.is_config,
        event_name=("resourceType",),
        mixed=r"/Config/",
    ),
    ObjectType(
        "aws_sqs_guard_duty",
        "GuardDuty findings exported to S3",
        "cloud.aws.guardduty.findings",
        JSON_LINES,
        object_kinds.is_finding,
        event_name=("type",),
        mixed=r"/GuardDuty/",
        protected=True,
    ),
    ObjectType(
        "aws_sqs_guard_duty_kinesis",
        "GuardDuty findings by way of Firehose",
        "cloud.aws.guardduty.findings",
        Layout(values=True, unwrap=documents.carried),
        json_with(b'"detail-type"', b'"GuardDuty Finding"'),
        event_name=("type",),
        protected=True,
    ),
    ObjectType(
        "aws_sqs_waf",
        "AWS WAF's logs",
        "cloud.aws.waf.logs",
        JSON_LINES,
        json_with(b'"webaclId"', b'"httpRequest"'),
        event_name=("action",),
        mixed=r"/WAFLogs/",
    ),
    ObjectType(  # (N): of Devo's list of tables, not of its collector's services
        "aws_sqs_network_firewall",
        "AWS Network Firewall's alert, flow and TLS logs",
        "cloud.aws.firewall.[record-kind]",
        JSON_LINES,
        json_with(b'"firewall_name"', b'"event_timestamp"', b'"event_type"'),
        fields=(RecordField("kind", ("event", "event_type")),),
        event_name=("event", "event_type"),
        mixed=r"/network-firewall/",
    ),
    ObjectType(  # (N): of Devo's list of tables, not of its collector's services
        "aws_sqs_security_lake",
        "Amazon Security Lake's OCSF events in Parquet",
        "cloud.aws.security_lake.event",
        JSON_LINES,
        object_kinds.is_ocsf,
        event_name=("type_name",),
        protected=True,
    ),
    ObjectType(  # (N): likewise
        "aws_sqs_client_vpn",
        "AWS Client VPN's connection logs by way of CloudWatch Logs and Firehose",
        "vpn.aws.client",
        Layout(values=True, unwrap=documents.carried),
        json_with(object_kinds.CLIENT_VPN),
        event_name=("connection-log-type",),
    ),
    ObjectType(
        "aws_sqs_route53",
        "Route 53 Resolver query logs",
        "dns.aws.route53",
        JSON_LINES,
        json_with(b'"query_name"', b'"query_timestamp"', b'"vpc_id"'),
        event_name=("rcode",),
        mixed=r"/vpcdnsquerylogs/",
    ),
    ObjectType(
        "aws_sqs_alb",
        "Application Load Balancer's access and connection logs",
        "web.aws.alb.{event_type}",
        Layout(),
        object_kinds.is_alb,
        object_kinds.alb_kind,
        text=True,
        columns=Columns(" "),
        mixed=r"/elasticloadbalancing/.*_app\.",
    ),
    ObjectType(
        "aws_sqs_elb",
        "Classic Load Balancer's access logs",
        "web.aws.elb.{event_type}",
        Layout(),
        object_kinds.is_elb,
        object_kinds.elb_kind,
        text=True,
        columns=Columns(" "),
        mixed=r"/elasticloadbalancing/",
    ),
    ObjectType(
        "aws_sqs_s3_access",
        "S3 server access logs",
        "web.aws.s3.access",
        Layout(),
        object_kinds.is_s3_access,
        text=True,
        mixed=r"(?:^|/)\d{4}(?:-\d\d){5}-[0-9A-F]{16}$",
    ),
    ObjectType(
        "aws_sqs_cisco_umbrella",
        "Cisco Umbrella's logs",
        umbrella.TEMPLATE,
        Layout(is_header=umbrella.is_header, quoted=True),
        text=True,
        columns=umbrella.COLUMNS,
        own=umbrella_rows,
    ),
    ObjectType(
        "aws_sqs_cloudflare_logpush",
        "Cloudflare Logpush: HTTP requests, firewall events, Access requests",
        "cloud.cloudflare.logpush.{event_type}",
        JSON_LINES,
        object_kinds.is_cloudflare_logpush,
        object_kinds.cloudflare_kind,
    ),
    ObjectType(
        "aws_sqs_cloudflare_audit",
        "Cloudflare's audit logs",
        "cloud.aws.cloudflare.audit",
        JSON_LINES,
        object_kinds.is_cloudflare_audit,
        event_name=("ActionType",),
        protected=True,
    ),
    ObjectType(
        "aws_sqs_incapsula",
        "Imperva Incapsula's events in CEF",
        "cef0.imperva.incapsula",
        Layout(),
        text_like(rb"CEF:0\|Incapsula\|"),
        text=True,
    ),
    ObjectType(
        "aws_sqs_jamf",
        "Jamf's logs; the key's first folder is the log type",
        "my.app.[file-log_type].logs",
        JSON_LINES,
        json_with(b'"caid"', b'"certid"'),
        key_fields=_BY_FOLDER,
    ),
    ObjectType(
        "aws_sqs_kubernetes",
        "Kubernetes' audit events, those of EKS by way of CloudWatch Logs and Firehose too",
        "my.app.kubernetes.events",
        Layout(values=True, unwrap=documents.carried),
        json_with(b"apiVersion", object_kinds.KUBERNETES),
        event_name=("verb",),
        protected=True,
    ),
    ObjectType("aws_sqs_lacework", "Lacework's exports", "monitor.lacework", JSON_LINES),
    ObjectType(
        "aws_sqs_os",
        "Logs of operating systems; the key's first two folders are log type and subtype",
        "box.[file-log_type].[file-log_subtype].us",
        Layout(),
        text=True,
        key_fields=_BY_FOLDER,
    ),
    ObjectType(
        "aws_sqs_palo_alto",
        "Palo Alto's firewall logs; the key's first folder is the log type",
        "firewall.paloalto.[file-log_type]",
        Layout(),
        text_like(rb"\d*,\d{4}/\d\d/\d\d \d\d:\d\d:\d\d,\w*,[A-Z][A-Z-]+,"),
        text=True,
        columns=Columns(),
        key_fields=_BY_FOLDER,
    ),
    ObjectType(
        "aws_sqs_rds",
        "RDS' audit logs",
        "cloud.aws.rds.audit",
        Layout(),
        text_like(rb"(?:\d{8} \d\d:\d\d:\d\d|\d{16}),[\w.-]+,[^,]*,[^,]*,\d+,\d+,[A-Z_]+,"),
        text=True,
        columns=Columns(),
    ),
    ObjectType(
        "aws_sqs_s1_funnel",
        "SentinelOne's Cloud Funnel",
        "edr.sentinelone.dv",
        JSON_LINES,
        json_with(b'"event.type"', b'"agent.uuid"'),
        event_name=("event.type",),
    ),
    ObjectType(
        "aws_sqs_fdr",
        "CrowdStrike Falcon Data Replicator",
        _FALCON,
        JSON_LINES,
        object_kinds.is_crowdstrike,
        event_name=("event_simpleName",),
        own=_crowdstrike,
    ),
    ObjectType(
        "aws_sqs_fdr_large",
        "the same, another name",
        _FALCON,
        JSON_LINES,
        event_name=("event_simpleName",),
        own=_crowdstrike,
    ),
)

_CLOUDFRONT = ObjectType(
    "cloudfront",
    "CloudFront's logs; they have no service of their own",
    cloudfront.TEMPLATE,
    Layout(comment=b"#", separator=b"\t", column=cloudfront.column),
    text=True,
    mixed=r"(?:^|/)E[A-Z0-9]+\.\d{4}-\d\d-\d\d-\d\d\.[0-9a-f]+\.gz$|(?i:cloudfront)",
    own=web_logs,
)

_MIXED = tuple((re.compile(one.mixed), one) for one in (*_TYPES, _CLOUDFRONT) if one.mixed)
"""A queue of several types: the first that is found in the key. Devo names CloudTrail, VPC flow, CloudFront
and Config logs; the rest (N) is what else Control Tower's log buckets may hold."""


def type_of(key: str) -> ObjectType | None:
    """Return which type an object in a queue of several is, by its key."""
    return next((one for pattern, one in _MIXED if pattern.search(f"/{key}")), None)


def _mixed_layout(key: str) -> Layout:
    one = type_of(key)
    return one.layout if one else Layout(refused="no type is known for this key")


def _mixed(unit: SqsUnit) -> Transform:
    made = {one.name: tagged(unit, one) for _, one in _MIXED}

    def run(block: Block) -> list[Item]:
        one = type_of(block.origin.key)
        return list(made[one.name](block)) if one else []

    return run


_CONTROL_TOWER = ObjectType(
    "aws_sqs_control_tower",
    "Control Tower: one queue of several types, told by the key",
    "",
    Layout(by_key=_mixed_layout),
    text=True,
    some_json=lambda _options: True,
    own=_mixed,
)

OBJECT_TYPES: tuple[Service[SqsLogsSettings], ...] = tuple(map(service, (*_TYPES, _CONTROL_TOWER)))
"""Services whose objects need no settings to be understood."""

CUSTOM: Service[SqsLogsSettings] = service(
    ObjectType("custom", "A service that the configuration alone defines", "", JSON_LINES)
)
