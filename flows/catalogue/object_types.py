"""The types of Devo's SQS collector, one value each, and the custom service.

Names and tags are documented by Devo, in the table of its SQS collector's services ("AWS (S3+SQS)",
column "Devo table"); what it leaves open is marked (I) inferred or (N) our own, and told in DECISIONS.md.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from flows.catalogue import build
from flows.catalogue.service import OBJECTS, QUEUE, ConfiguredService, Service
from flows.catalogue.tagging import rule, stamp
from flows.config.objects import SqsLogsSettings
from sources import telemetry
from transforms import cloudfront, cloudtrail, documents, object_kinds, routed, umbrella, vpcflow
from transforms.block import Block, Item, Transform
from transforms.fields import RecordField
from transforms.layout import Layout
from transforms.tagged import NO_STAMP
from transforms.tags import TagRule

_JSON_LINES = Layout(values=True)
_CLOUDTRAIL = Layout(records="Records")
_FLOW = Layout(is_header=vpcflow.is_header, column=vpcflow.column)
_CLOUDFRONT = Layout(comment=b"#", separator=b"\t", column=cloudfront.column)
_UMBRELLA = Layout(is_header=umbrella.is_header, quoted=True)

Made = Callable[[ConfiguredService], Transform]


class _Type(Struct, frozen=True):
    """What a type is made of.

    name: its key under `services`. template: its tag. layout: how its objects are cut. detect: tells its
    objects in a replay, None for those that another type tells. kind: an object's key → {event_type}.
    own: the transform of a type that needs more than a tag. text: its events are no JSON.
    """

    name: str
    template: str
    layout: Layout
    detect: Callable[[str, bytes], bool] | None = None
    kind: Callable[[str], str] = lambda _key: "events"
    own: Made | None = None
    text: bool = False


def _service(one: _Type) -> Service:
    def layout(options: SqsLogsSettings) -> Layout:
        return options.file_format.layout() if options.file_format else one.layout

    def transform(unit: ConfiguredService) -> Transform:
        return _transform(unit, one)

    return Service(one.name, one.name, build.objects, transform, (QUEUE, OBJECTS), layout, one.detect)


def _transform(unit: ConfiguredService, one: _Type) -> Transform:
    """Return a type's transform; what the settings say about filters and tags goes before it."""
    options: SqsLogsSettings = unit.options
    own = one.own(unit) if one.own and not options.routing_template else None
    text = one.text if options.file_format is None else not options.file_format.of_json
    return routed.transform(
        routed.RoutedOptions(
            tag=TagRule(options.routing_template or options.tag or one.template, options.tag_suffix),
            event_type=lambda key: options.event_type(key) or one.kind(key),
            key_fields=options.key_fields,
            record_fields=options.record_fields,
            rules=options.rules,
            dropped=partial(telemetry.events_dropped, one.name),
            added=options.add_file_fields,
            columns=options.file_format.columns() if options.file_format else None,
            stamp=NO_STAMP if text else stamp(unit),
            base=own,
        )
    )


def _cloudtrail(unit: ConfiguredService) -> Transform:
    made = rule(unit, cloudtrail.TEMPLATE)
    auto = unit.options.auto_event_type is not False
    return cloudtrail.transform(
        cloudtrail.CloudTrailOptions(tag=made, auto_event_type=auto, stamp=stamp(unit))
    )


def _lines_of(kind: Any, options_of: Callable[..., Any]) -> Made:
    """VPC flow or CloudFront lines. kind: the module that knows them; options_of: makes its options."""

    def build_(unit: ConfiguredService) -> Transform:
        options: SqsLogsSettings = unit.options
        chosen = options_of(
            tag=rule(unit, kind.TEMPLATE),
            auto_event_type=options.auto_event_type is not False,
            event_type=options.event_type,
            json=options.format == "json",
            stamp=stamp(unit),
        )
        made: Transform = kind.transform(chosen)
        return made

    return build_


def _umbrella(unit: ConfiguredService) -> Transform:
    return umbrella.transform(
        umbrella.UmbrellaOptions(rule(unit, umbrella.TEMPLATE), unit.options.event_type)
    )


def _crowdstrike(unit: ConfiguredService) -> Transform:
    """CrowdStrike's events: one table, or with `auto_event_type` one for each event_simpleName."""
    options: SqsLogsSettings = unit.options
    template = options.tag or "edr.crowdstrike.cannon"
    if options.auto_event_type and not options.tag:
        template += ".[record-event]"
    fields = (RecordField("event", ("event_simpleName",), (str.lower,)),)
    made = TagRule(template, options.tag_suffix)
    return routed.transform(routed.RoutedOptions(made, record_fields=fields, stamp=stamp(unit)))


def _log_events(unit: ConfiguredService) -> Transform:
    """CloudWatch Logs' events, with the region, which their files do not tell."""
    tagged = routed.transform(
        routed.RoutedOptions(rule(unit, "cloud.aws.cloudwatch.logs"), stamp=stamp(unit))
    )
    return lambda block: tagged(object_kinds.with_region(block))


_PLAIN: tuple[_Type, ...] = (
    _Type(
        "aws_sqs_alb",
        "web.aws.alb.{event_type}",
        Layout(),
        object_kinds.is_alb,
        object_kinds.balancer_kind,
        text=True,
    ),
    _Type(
        "aws_sqs_elb",
        "web.aws.elb.{event_type}",
        Layout(),
        object_kinds.is_elb,
        object_kinds.balancer_kind,
        text=True,
    ),
    _Type("aws_sqs_s3_access", "web.aws.s3.access", Layout(), object_kinds.is_s3_access, text=True),
    _Type("aws_sqs_waf", "cloud.aws.waf.logs", _JSON_LINES, object_kinds.is_waf),
    _Type("aws_sqs_route53", "dns.aws.route53", _JSON_LINES, object_kinds.is_resolver),
    _Type(
        "aws_sqs_config",
        "cloud.aws.configlogs.events",
        Layout(records="configurationItems"),
        object_kinds.is_config,
    ),
    _Type("aws_sqs_guard_duty", "cloud.aws.guardduty.findings", _JSON_LINES, object_kinds.is_finding),
    _Type(
        "aws_sqs_guard_duty_kinesis",
        "cloud.aws.guardduty.findings",
        Layout(values=True, unwrap=documents.carried),
        object_kinds.is_finding_envelope,
    ),
    _Type(
        "aws_sqs_cloudwatch",
        "cloud.aws.cloudwatch.logs",
        Layout(values=True, unwrap=documents.log_events),
        object_kinds.is_subscription,
        own=_log_events,
    ),
    _Type(
        "aws_sqs_fdr",
        "edr.crowdstrike.cannon",
        _JSON_LINES,
        object_kinds.is_crowdstrike,
        own=_crowdstrike,
    ),
    _Type("aws_sqs_fdr_large", "edr.crowdstrike.cannon", _JSON_LINES, own=_crowdstrike),
    _Type(
        "aws_sqs_cloudflare_logpush",
        "cloud.cloudflare.logpush.{event_type}",
        _JSON_LINES,
        object_kinds.is_cloudflare_http,
        lambda _key: "http",
    ),
    _Type(
        "aws_sqs_cloudflare_audit",
        "cloud.aws.cloudflare.audit",
        _JSON_LINES,
        object_kinds.is_cloudflare_audit,
    ),
    _Type("aws_sqs_cloudtrail", cloudtrail.TEMPLATE, _CLOUDTRAIL, own=_cloudtrail),
    _Type("aws_sqs_vpc", vpcflow.TEMPLATE, _FLOW, own=_lines_of(vpcflow, vpcflow.VpcFlowOptions), text=True),
    _Type("aws_sqs_cisco_umbrella", umbrella.TEMPLATE, _UMBRELLA, own=_umbrella, text=True),
    _Type(
        "aws_sqs_cloudtrail_kinesis",
        cloudtrail.TEMPLATE,
        Layout(values=True, unwrap=documents.carried),
        own=_cloudtrail,
    ),
    _Type(
        "aws_sqs_cloudwatch_vpc",
        vpcflow.TEMPLATE,
        Layout(values=True, unwrap=documents.carried),
        own=_lines_of(vpcflow, vpcflow.VpcFlowOptions),
        text=True,
    ),
)

_CLOUDFRONT_LOGS = _Type(
    "cloudfront",
    cloudfront.TEMPLATE,
    _CLOUDFRONT,
    own=_lines_of(cloudfront, cloudfront.CloudFrontOptions),
    text=True,
)
_BY_NAME: Mapping[str, _Type] = {one.name: one for one in (*_PLAIN, _CLOUDFRONT_LOGS)}

_MIXED: tuple[tuple[str, str], ...] = (
    (r"/CloudTrail(?:-Digest|-Insight)?/", "aws_sqs_cloudtrail"),
    (r"/(?:aws-service=)?vpcflowlogs/", "aws_sqs_vpc"),
    (r"/Config/", "aws_sqs_config"),
    (r"(?:^|/)E[A-Z0-9]+\.\d{4}-\d\d-\d\d-\d\d\.[0-9a-f]+\.gz$|(?i:cloudfront)", "cloudfront"),
    (r"/GuardDuty/", "aws_sqs_guard_duty"),
    (r"/WAFLogs/", "aws_sqs_waf"),
    (r"/vpcdnsquerylogs/", "aws_sqs_route53"),
    (r"/elasticloadbalancing/.*_app\.", "aws_sqs_alb"),
    (r"/elasticloadbalancing/", "aws_sqs_elb"),
    (r"(?:^|/)\d{4}(?:-\d\d){5}-[0-9A-F]{16}$", "aws_sqs_s3_access"),
)
"""A queue of several types: the first that is found in the key. Devo names CloudTrail, VPC flow, CloudFront
and Config logs; the rest (N) is what else Control Tower's log buckets may hold."""
_COMPILED = tuple((re.compile(pattern), _BY_NAME[name]) for pattern, name in _MIXED)


def type_of(key: str) -> _Type | None:
    """Return which type an object in a queue of several is, by its key."""
    return next((one for pattern, one in _COMPILED if pattern.search(f"/{key}")), None)


def _mixed_layout(key: str) -> Layout:
    one = type_of(key)
    return one.layout if one else Layout(refused="no type is known for this key")


def _mixed(unit: ConfiguredService) -> Transform:
    made = {one.name: (one.own(unit) if one.own else _base(unit, one)) for _, one in _COMPILED}

    def run(block: Block) -> list[Item]:
        one = type_of(block.origin.key)
        return list(made[one.name](block)) if one else []

    return run


def _base(unit: ConfiguredService, one: _Type) -> Transform:
    options: SqsLogsSettings = unit.options
    return routed.transform(
        routed.RoutedOptions(
            rule(unit, one.template),
            event_type=lambda key: options.event_type(key) or one.kind(key),
            stamp=NO_STAMP if one.text else stamp(unit),
        )
    )


_CONTROL_TOWER = _Type("aws_sqs_control_tower", "", Layout(by_key=_mixed_layout), own=_mixed, text=True)

OBJECT_TYPES: tuple[Service, ...] = tuple(_service(one) for one in (*_PLAIN, _CONTROL_TOWER))
"""Services whose objects need no settings to be understood."""

CUSTOM: Service = _service(_Type("custom", "", _JSON_LINES))
"""A service that the configuration alone defines."""
