"""What every service of the catalogue must do; a service that cannot is listed with its reason."""

import io
import re
import threading
from types import SimpleNamespace

import pytest

from flows.catalogue.service import ConfiguredService, RunContext
from flows.catalogue.services import CATALOGUE, recognise, replay_unit, services_of
from flows.config.base import QueuedSettings
from flows.config.load import Settings
from flows.config.settings import Globals
from sources.apis.cursor import CursorSource
from sources.aws.account import Account
from sources.lanes import keys
from sources.objects.decode import head
from sources.queues.lease import LeaseSource
from tests.fakes.corpus import FULL, corpus
from tests.transforms.blocks import is_tag
from transforms.block import Block, Origin

EVENT = {
    "audits_s3": b'{"eventVersion":"1.1","eventSource":"s3.amazonaws.com","eventName":"GetObject"}',
    "audits_api": b'{"eventVersion":"1.1","eventSource":"s3.amazonaws.com","eventName":"GetObject"}',
    "flowlogs": b"2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 40 1 2 ACCEPT OK",
    "cloudfrontlogs": b"2026-01-02\t03:04:05\tFRA60-P1\t1",
    "cisco-umbrella": b'"2026-01-02 03:04:05","a","b","c"',
    "service-events-all": b'{"source":"aws.ec2","detail-type":"x"}',
    "sqs-cloudwatch-consumer": b'{"Id":"f"}',
    "metrics-all": b'{"namespace":"AWS/EC2"}',
    "logs": b'{"logGroup":"g"}',
    "aws-guardduty": b'{"id":"f"}',
}
DOCUMENTED = {
    "audits_s3": "cloud.aws.cloudtrail.events",
    "audits_api": "cloud.aws.cloudtrail.events",
    "flowlogs": "cloud.aws.vpc.unknown",
    "cloudfrontlogs": "cloud.aws.cloudfront.unknown",
    "cisco-umbrella": "sig.cisco.umbrella.dns",
    "service-events-all": "cloud.aws.cloudwatch.events",
    "sqs-cloudwatch-consumer": "cloud.aws.securityhub.findings",
    "metrics-all": "cloud.aws.cloudwatch.metrics",
    "logs": "cloud.aws.cloudwatch.logs",
    "aws-guardduty": "cloud.aws.guardduty.findings",
}
"""Contract 3: the tag of an event without `auto_event_type`."""


def options(service, **more):
    raw = {"regions": ["eu-west-1"], "types": [service.name], **more}
    if service.service_key == "":
        raw["log_group"] = "/"
    empty = service.settings.model_construct()
    if isinstance(empty, QueuedSettings) and service.name in empty.own_queues:
        raw[empty.own_queues[service.name].key] = "queue"
    return service.settings.model_validate(raw)


def unit(service, **more):
    return ConfiguredService(
        "1", service.service_key or "mine", Account("in"), service, options(service, **more)
    )


def block(service):
    origin = Origin(service.name, "123456789012", "eu-west-1", "queue", "s3://b/x/dnslogs/1.csv.gz")
    return Block(EVENT[service.name] + b"\n", 1, origin)


each = pytest.mark.parametrize("service", CATALOGUE, ids=lambda service: service.name)
each_of_s3 = pytest.mark.parametrize(
    "service", [one for one in CATALOGUE if one.layout], ids=lambda service: service.name
)


def test_every_documented_service_is_there():
    """The catalogue holds the ten services of Devo's AWS collector, each name once."""
    assert sorted(one.name for one in CATALOGUE) == sorted(DOCUMENTED)
    assert len(CATALOGUE) == len(DOCUMENTED)


@each
def test_the_documented_tag(service):
    """Without `auto_event_type` an event has the tag that Devo documents, and keeps its bytes."""
    (made,) = service.transform(unit(service))(block(service))
    assert (made.tag, made.payload, made.count) == (DOCUMENTED[service.name], block(service).payload, 1)
    assert is_tag(made.tag)


@each
@pytest.mark.parametrize("suffix", ["account_region", "region_account"])
def test_a_suffix_is_put_after_the_tag(service, suffix):
    """`tag_suffix` adds account and region of the event's origin, in the order asked for."""
    (made,) = service.transform(unit(service, tag_suffix=suffix))(block(service))
    ends = {"account_region": "123456789012.eu-west-1", "region_account": "eu-west-1.123456789012"}
    assert made.tag == f"{DOCUMENTED[service.name]}.{ends[suffix]}"
    assert is_tag(made.tag)


@each
def test_a_tag_of_the_users_own(service):
    """`tag` replaces the service's tag."""
    (made,) = service.transform(unit(service, tag="my.app.{region}"))(block(service))
    assert made.tag == "my.app.eu-west-1"


@each
def test_the_source_has_fixed_lanes(service):
    """Partition keys never change, whatever the configuration: bytewax could not resume otherwise."""
    source = service.source(unit(service), RunContext(threading.Event()))
    assert isinstance(source, LeaseSource | CursorSource)
    assert source.list_parts() == keys()


@each
def test_step_ids_are_stable_and_apart(service):
    """The step id holds input, setting and service, without a dot, and differs between inputs."""
    one, other = (
        unit(service),
        ConfiguredService("2", service.service_key or "mine", Account("b"), service, options(service)),
    )
    assert one.step_id != other.step_id
    assert "." not in one.step_id
    assert one.step_id == f"1-{service.service_key or 'mine'}-{service.name}"


@each
def test_permissions_are_named(service):
    """Each service tells the IAM actions it needs, those from S3 objects, versions and queue only."""
    actions = service.actions
    assert actions
    assert all(re.fullmatch(r"[a-z0-9]+:[A-Z][A-Za-z]+", action) for action in actions)
    if service.layout:
        assert {action for action in actions if action.startswith("s3:")} == {
            "s3:GetObject",
            "s3:GetObjectVersion",
        }


@each_of_s3
def test_objects_are_recognised_by_their_own_type_only(service):
    """Replay detects each object of the corpus as its type, by what it holds."""
    wrong = []
    for sample in corpus({kind: min(count, 4) for kind, count in FULL.items()}):
        found = recognise(sample.key, head(io.BytesIO(sample.body), 1 << 16))
        if (found is service) != (sample.service == service.name):
            wrong.append((sample.key, found and found.name))
    assert not wrong


@each
def test_a_setting_leads_to_its_services(service):
    """`services.<setting>` with this type stands for this service."""
    chosen = list(services_of(service.service_key or "anything", SimpleNamespace(types=(service.name,))))
    assert chosen == [service]


@each_of_s3
def test_replay_uses_the_configured_options(service):
    """A replay with a configuration tags as that configuration says, without one it names the table."""
    tagged = options(service, tag="my.own.tag")
    inputs = {
        "in": SimpleNamespace(
            id="1",
            enabled=True,
            environment="",
            credentials=None,
            queue_credentials=None,
            organization=None,
            services={service.service_key: tagged},
        )
    }
    settings = Settings(globals=Globals(), inputs=inputs, outputs={})
    assert replay_unit(service, settings).options is tagged
    assert replay_unit(service, None).options.tag is None
