"""Settings of globals, inputs and services: what they accept, what they make of it, their JSON Schema."""

from datetime import UTC, datetime
from typing import get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from flows.catalogue.build import limits
from flows.catalogue.cloudtrail import AuditEventsSettings
from flows.catalogue.event_queues import SecurityHubSettings, ServiceEventsSettings
from flows.catalogue.guardduty import GuardDutySettings
from flows.catalogue.line_logs import NonCloudwatchLogsSettings
from flows.catalogue.logs import CloudWatchLogsSettings
from flows.catalogue.metrics import MetricsSettings
from flows.catalogue.services import SETTINGS
from flows.catalogue.umbrella import CiscoUmbrellaSettings
from flows.config.base import QueuedSettings, region_of
from flows.config.objects import SqsLogsSettings
from flows.config.settings import FROM_GLOBALS, Globals, Input, json_schema
from flows.config.types import RequestLimit
from transforms.setting import about, description, ineffective

HERE = {"regions": ["eu-west-1"]}
BOTH = {"regions": ["eu-west-1", "us-east-1"]}


def why_not(model, **options):
    with pytest.raises(ValidationError) as caught:
        model(**options)
    return str(caught.value.errors()[0].get("ctx", {}).get("error") or caught.value.errors()[0]["msg"])


# queues


@pytest.mark.parametrize(
    ("model", "kind", "key"),
    [
        (ServiceEventsSettings, "service-events-all", "cloudwatch_sqs_queue_name"),
        (SecurityHubSettings, "sqs-cloudwatch-consumer", "cloudwatch_sqs_queue_name"),
        (CiscoUmbrellaSettings, "cisco-umbrella", "cisco_umbrella_sqs_queue_name"),
    ],
)
@pytest.mark.parametrize("spelling", [None, "sqs_queue_name", "queue_name"])
def test_a_queue_in_each_region(model, kind, key, spelling):
    """A queue's name, under its own key or a generic one, stands for that queue in each region."""
    service = model(**BOTH, **{spelling or key: "q"})
    assert service.types == (kind,)
    assert service.queues(kind) == [("eu-west-1", "q"), ("us-east-1", "q")]


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-west-3.amazonaws.com/123456789012/q", "eu-west-3"),
        ("https://eu-west-3.queue.amazonaws.com/123456789012/q", "eu-west-3"),
        ("https://queue.amazonaws.com/123456789012/q", "us-east-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1"),
        ("https://vpce-1-2.sqs.eu-west-3.vpce.amazonaws.com/123456789012/q", "eu-west-3"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/1/q", "us-gov-west-1"),
        ("http://127.0.0.1:4566/000000000000/q", ""),
        ("https://sqs.amazonaws.com.evil.example/1/q", ""),
    ],
)
def test_region_of_a_queue_url(url, region):
    """A queue's URL tells its region in all of AWS's forms, an emulator's does not."""
    assert region_of(url) == region


def test_queue_url_needs_no_regions():
    """A full URL is one queue, in the region that it tells, whatever stands in regions."""
    url = "https://sqs.eu-west-3.amazonaws.com/123456789012/q"
    assert CiscoUmbrellaSettings(queue_url=url).queues("cisco-umbrella") == [("eu-west-3", url)]
    assert CiscoUmbrellaSettings(**BOTH, sqs_queue_name=url).queues("cisco-umbrella") == [("eu-west-3", url)]


def test_queue_url_of_an_emulator_takes_the_one_region():
    """A URL that tells no region is in the only one of regions."""
    url = "http://127.0.0.1:4566/000000000000/q"
    assert CiscoUmbrellaSettings(**HERE, queue_url=url).queues("cisco-umbrella") == [("eu-west-1", url)]
    assert "tells no region" in why_not(CiscoUmbrellaSettings, **BOTH, queue_url=url)


def test_two_types_have_two_queues():
    """Each type of non-cloudwatch-logs has its own queue."""
    service = NonCloudwatchLogsSettings(
        **HERE,
        types=["flowlogs", "cloudfrontlogs"],
        vpcflowlogs_sqs_queue_name="f",
        cloudfrontlogs_sqs_queue_name="c",
    )
    assert service.queues("flowlogs") == [("eu-west-1", "f")]
    assert service.queues("cloudfrontlogs") == [("eu-west-1", "c")]


def test_a_generic_queue_is_the_rest():
    """A generic queue is for the one type without a key of its own, and never for two."""
    both = ["flowlogs", "cloudfrontlogs"]
    service = NonCloudwatchLogsSettings(**HERE, types=both, vpcflowlogs_sqs_queue_name="f", queue_name="c")
    assert service.queues("cloudfrontlogs") == [("eu-west-1", "c")]
    assert "one queue for flowlogs and cloudfrontlogs" in why_not(
        NonCloudwatchLogsSettings, **HERE, types=both, queue_name="q"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (HERE, "has no queue for cisco-umbrella: add cisco_umbrella_sqs_queue_name"),
        ({**HERE, "queue_name": "a", "sqs_queue_name": "b"}, "names its queue twice"),
        ({"queue_name": "a"}, "has no regions: add regions"),
    ],
)
def test_unclear_queues_are_refused(options, reason):
    """No queue, two spellings of one, or a name without region is an error with what to add."""
    assert reason in why_not(CiscoUmbrellaSettings, **options)


@pytest.mark.parametrize("model", [CiscoUmbrellaSettings, GuardDutySettings, ServiceEventsSettings])
def test_a_disabled_service_may_be_unfinished(model):
    """What is switched off need not be complete."""
    assert not model(enabled=False).enabled


# types


def test_audit_types():
    """`audit_apis` is `audits_api`; the API alone needs no queue, S3 does."""
    assert AuditEventsSettings(**HERE).types == ("audits_api",)
    assert AuditEventsSettings(**HERE, types="audit_apis").types == ("audits_api",)
    assert AuditEventsSettings(**HERE, types=["audit_apis"]).queues("audits_api") == []
    assert "has no queue for audits_s3" in why_not(AuditEventsSettings, **HERE, types=["audits_s3"])
    both = AuditEventsSettings(**HERE, types=["audits_api", "audits_s3"], audit_sqs_queue_name="q")
    assert both.queues("audits_s3") == [("eu-west-1", "q")]
    assert "has no regions" in why_not(AuditEventsSettings, types=["audits_api"])


@pytest.mark.parametrize("model", [NonCloudwatchLogsSettings, CloudWatchLogsSettings, AuditEventsSettings])
def test_types_are_not_empty(model):
    """A service with types: [] would collect nothing without a word."""
    with pytest.raises(ValidationError):
        model(**HERE, types=[], log_group="/") if model is CloudWatchLogsSettings else model(**HERE, types=[])


def test_one_type_may_be_said():
    """A service of one type accepts its own name as type, and no other."""
    assert GuardDutySettings(**HERE, types=["aws-guardduty"]).types == ("aws-guardduty",)
    assert "aws-guardduty" in why_not(GuardDutySettings, **HERE, types=["findings"])


# values


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678+02:00", datetime(2026, 1, 2, 1, 4, 5, 678_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (" 2026-01-02 ", datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_start_time_is_utc(text, moment):
    """ISO 8601 in any form becomes UTC; without a zone it is UTC."""
    found = GuardDutySettings(**HERE, start_time=text).start_time
    assert (found, found.utcoffset().total_seconds()) == (moment, 0)


@pytest.mark.parametrize("value", ["soon", 1767323045, "2026-13-01", ["2026-01-02"]])
def test_what_is_no_time(value):
    """Numbers and other texts are no start time: their unit would be a guess."""
    assert why_not(GuardDutySettings, **HERE, start_time=value).startswith("is no ")


@pytest.mark.parametrize("region", ["eu-wst", "EU-WEST-1", "eu west 1", "<region>", "us-east-1a", ""])
def test_what_is_no_region(region):
    """What has not a region's form is refused."""
    assert "is no region" in why_not(GuardDutySettings, regions=[region])


@pytest.mark.parametrize("region", ["us-gov-west-1", "ap-southeast-5", "us-iso-east-1", "cn-north-1"])
def test_regions_of_every_partition(region):
    """Regions of all partitions, and new ones, have the form; one alone needs no list."""
    assert GuardDutySettings(regions=region).regions == (region,)


@pytest.mark.parametrize("tag", ["my.app", "a.b.c.d.e.f", "cloud.aws.{event_type}.{account}.{region}"])
def test_tags(tag):
    """A tag has two to six levels, perhaps with placeholders."""
    assert GuardDutySettings(**HERE, tag=tag).tag == tag


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("my", "has 1 level;"),
        ("a.b.c.d.e.f.g", "has 7 levels;"),
        ("my..app", "other than letters"),
        ("my.app x", "other than letters"),
        ("my.{table}", "unknown placeholder {table}"),
    ],
)
def test_impossible_tags(tag, reason):
    """A tag that Devo would not take is refused."""
    assert reason in why_not(GuardDutySettings, **HERE, tag=tag)


def test_a_tag_with_a_suffix_has_room():
    """A suffix adds two levels, which a long tag has no room for."""
    assert (
        GuardDutySettings(**HERE, tag="a.b.c.d", tag_suffix="account_region").tag_suffix == "account_region"
    )
    assert "more than 6 levels" in why_not(
        GuardDutySettings, **HERE, tag="a.b.c.d.e", tag_suffix="account_region"
    )


# keys of objects


@pytest.mark.parametrize(
    "given",
    [
        {"flow": "/vpcflowlogs/", "all": ""},
        [{"flow": "/vpcflowlogs/"}, {"all": ""}],
        [{"event_type": "flow", "pattern": "/vpcflowlogs/"}, {"event_type": "all", "pattern": ""}],
    ],
)
def test_event_type_by_key(given):
    """The first pattern that is found in the key names the event type, in each way of writing."""
    service = CiscoUmbrellaSettings(**HERE, queue_name="q", event_type_file_regex_patterns=given)
    assert service.event_type("AWSLogs/1/vpcflowlogs/x") == "flow"
    assert service.event_type("other") == "all"


def test_no_event_type():
    """A key that no pattern fits has no event type from the configuration."""
    service = CiscoUmbrellaSettings(**HERE, queue_name="q", event_type_file_regex_patterns={"a": "^a"})
    assert service.event_type("b") == ""


@pytest.mark.parametrize("given", [["flow"], {"flow": 1}, {"flow": "("}, "flow", {"flow": "(a)\\1"}])
def test_broken_event_types(given):
    """Anything but patterns, and patterns that RE2 cannot read, are refused."""
    with pytest.raises(ValidationError):
        CiscoUmbrellaSettings(**HERE, queue_name="q", event_type_file_regex_patterns=given)


def test_key_filter():
    """s3_file_type_filter selects what is read; without it everything is."""
    some = AuditEventsSettings(
        **HERE, types=["audits_s3"], queue_name="q", s3_file_type_filter="(?!.*Digest).*json"
    )
    assert some.key_filter("a/CloudTrail/x.json")
    assert not some.key_filter("a/CloudTrail/x.csv")
    assert not some.key_filter("a/CloudTrail-Digest/x.json")
    assert AuditEventsSettings(**HERE).key_filter("anything")


# APIs


def test_limits():
    """Requests per second and longer limits become (requests per second, burst); -1 bounds nothing."""
    longer = [{"period": "1d", "number_of_requests": 8640}, {"period": "2 m", "number_of_requests": -1}]
    assert limits(GuardDutySettings(**HERE)) == ()
    assert limits(GuardDutySettings(**HERE, requests_per_second=2, requests_limits=longer)) == (
        (2, 1),
        (0.1, 8640),
    )
    assert limits(AuditEventsSettings(**HERE, requests_per_second=1)) == ((1, 1),)


@pytest.mark.parametrize(("period", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("2 d", 172_800)])
def test_periods(period, seconds):
    """A period is a number and a unit."""
    assert RequestLimit(period=period, number_of_requests=1).seconds == seconds


@pytest.mark.parametrize("period", [1, 5, 10, 30, 60, 300, 86_400])
def test_possible_metric_periods(period):
    """Points are 1, 5, 10, 30 seconds or whole minutes long."""
    assert MetricsSettings(**HERE, period=period).period == period


@pytest.mark.parametrize("period", [0, 7, 61, -60])
def test_impossible_metric_periods(period):
    """CloudWatch has no points of other lengths."""
    with pytest.raises(ValidationError):
        MetricsSettings(**HERE, period=period)


def test_log_groups():
    """One group, or several with a start time each, the service's by default."""
    one = CloudWatchLogsSettings(**HERE, types=["logs"], log_group="/", start_time="2026-01-02T03:04:05Z")
    assert [(group.log_group, group.start_time) for group in one.groups] == [("/", one.start_time)]
    several = CloudWatchLogsSettings(
        **HERE,
        types="logs",
        start_time="2026-01-02T03:04:05Z",
        log_groups=[{"log_group": "a"}, {"log_group": "b", "start_time": "2025-01-01"}],
    )
    times = [group.start_time.year for group in several.groups]
    assert ([group.log_group for group in several.groups], times) == (["a", "b"], [2026, 2025])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "has no log group"),
        ({"log_group": "/", "log_groups": [{"log_group": "a"}]}, "names its groups twice"),
        ({"log_groups": [{"log_group": "a"}, {"log_group": "a"}]}, "has log group a twice"),
    ],
)
def test_unclear_log_groups(options, reason):
    """No group, both ways of naming them, and one group twice are errors."""
    assert reason in why_not(CloudWatchLogsSettings, **HERE, types=["logs"], **options)


# Devo's keys


def test_devo_keys_are_accepted_without_effect():
    """Keys that mean nothing here are accepted, and told with the reason."""
    top = Globals(multiprocessing=True, queue_max_size_in_messages=5, debug=True)
    assert ineffective(top) == {
        "multiprocessing": "use run --processes N",
        "queue_max_size_in_messages": "memory is bounded in bytes",
    }
    queued = CiscoUmbrellaSettings(**HERE, queue_name="q", start_time="2026-01-02", auto_event_type=True)
    assert list(ineffective(queued)) == ["auto_event_type", "start_time"]
    assert ineffective(GuardDutySettings(**HERE, start_time="2026-01-02")) == {}


def test_every_global_of_devo_is_known():
    """The keys that Devo's collector has in globals load."""
    devo = {
        "debug": False, "id": 1, "name": "a", "persistence": {"type": "filesystem"},
        "queue_max_size_in_mb": 1024, "queue_max_size_in_messages": 10000,
        "queue_max_elapsed_time_in_sec": 60, "queue_wrap_max_size_in_messages": 100,
        "queue_generate_metrics": False, "balanced_output": False, "multiprocessing": True,
        "max_consumers_for_multiprocessing": 2, "max_consumers_for_multithreading": 500,
        "sender_concurrent_connections": 1, "sender_stats_period_in_sec": 300,
        "sender_activate_final_queue": False, "generate_collector_details": False,
        "devo_sender_threshold_for_using_gzip_in_transport_layer": 1.1,
        "devo_sender_compression_level": 6, "devo_sender_compression_buffer_in_bytes": 51200,
    }  # fmt: skip
    assert Globals(**devo).model_fields_set == devo.keys()


# schema and reference


def models(model, seen):
    """Return a model and all models in its fields."""
    seen.add(model)
    todo = [field.annotation for field in model.model_fields.values()]
    while todo:
        annotation = todo.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation not in seen:
                models(annotation, seen)
        else:
            todo += get_args(annotation)
    return seen


ALL = sorted(
    set().union(
        *(
            models(model, set())
            for model in (Globals, Input, CloudWatchLogsSettings, SqsLogsSettings, *SETTINGS.values())
        )
    ),
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", ALL)
def test_every_key_is_described(model):
    """The reference is printed from the models: each key has a description and an example."""
    bare = [name for name, field in model.model_fields.items() if not (description(field) and field.examples)]
    assert not bare


@pytest.mark.parametrize("model", ALL)
def test_every_number_has_its_unit(model):
    """A number that is a time or a size says its unit."""
    for name, field in model.model_fields.items():
        if (
            any(word in name for word in ("seconds", "bytes", "_in_", "period", "delay"))
            and name != "requests_limits"
        ):
            told = about(field)
            assert told.unit or not told.effect or model is RequestLimit, name


def test_what_globals_set_exists():
    """Every key that globals pass on to outputs is one of globals."""
    assert set(FROM_GLOBALS) <= Globals.model_fields.keys()


def test_queue_keys_are_fields():
    """Every type that has a queue names a key that exists."""
    for model in SETTINGS.values():
        if issubclass(model, QueuedSettings):
            queues = model.model_construct().own_queues
            assert {queue.key for queue in queues.values()} <= model.model_fields.keys()


def test_schema_is_a_json_schema():
    """The schema is valid, and accepts a configuration as written, references included."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    content = yaml.safe_load(
        """
outputs: {devo: {type: console}}
inputs:
  aws:
    id: 12345
    credentials: {access_key: "${KEY}", access_secret: {file: /run/secrets/aws}}
    services:
      audit-events-all: {types: [audits_s3], regions: [eu-west-1], audit_sqs_queue_name: q}
      mine: {types: [logs], log_group: /, regions: [eu-west-1], start_time: "2026-01-02T03:04:05Z"}
"""
    )
    jsonschema.validate(content, schema)
    content["inputs"]["aws"]["services"]["mine"]["log_groop"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_schema_knows_every_service():
    """An editor offers every service by name."""
    services = json_schema()["$defs"]["Input"]["properties"]["services"]
    assert services["properties"].keys() == SETTINGS.keys()


LISTED = {"regions": ["eu-west-1"], "s3_listing": {"bucket": "vendor", "prefix": "a/"}}


def test_a_listing_stands_in_the_place_of_a_queue():
    """As a mapping or as a text, for the service whose objects nobody announces."""
    short = CiscoUmbrellaSettings(regions=["eu-west-1"], s3_listing="s3://vendor/a/")
    assert short == CiscoUmbrellaSettings(**LISTED)
    assert short.queues("cisco-umbrella") == []
    assert (short.s3_listing.every_seconds, short.s3_listing.late_seconds) == (300, 86_400)
    began = short.beginning(datetime(2026, 1, 2, tzinfo=UTC))
    assert began.s3_listing.start_time == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "more", "what"),
    [
        (CiscoUmbrellaSettings, {"cisco_umbrella_sqs_queue_name": "q"}, "keep one"),
        (CiscoUmbrellaSettings, {"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"}, "keep one"),
        (CiscoUmbrellaSettings, {"regions": ["eu-west-1", "us-east-1"]}, "the bucket's region"),
        (CiscoUmbrellaSettings, {"regions": []}, "has no regions"),
        (CiscoUmbrellaSettings, {"s3_listing": "a b"}, "String should match pattern"),
        (NonCloudwatchLogsSettings, {"types": ["flowlogs", "cloudfrontlogs"]}, "flowlogs and cloudfrontlogs"),
    ],
)
def test_a_listing_is_of_one_bucket_for_one_type(model, more, what):
    """Two ways to one object, two regions, or two types of one listing are errors that say so."""
    with pytest.raises(ValidationError, match=what):
        model(**{**LISTED, **more})


def test_a_listing_for_a_trail_leaves_the_api_alone():
    """Of CloudTrail, what is listed is the trail's bucket."""
    both = AuditEventsSettings(**LISTED, types=["audits_api", "audits_s3"])
    assert both.listing("audits_s3") is both.s3_listing
    assert both.listing("audits_api") is None
