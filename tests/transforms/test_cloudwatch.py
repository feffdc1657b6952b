"""CloudWatch logs and metrics: the documented tags, the source's bytes, the settings' fields."""

import pytest

from transforms import cloudwatch_logs, cloudwatch_metrics
from transforms.block import Block, Origin
from transforms.tagged import Stamp
from transforms.tags import TagRule

PAYLOAD = b'{"message":"a"}\n{"message":"b"}\n'
BLOCK = Block(PAYLOAD, 2, Origin("x", "111122223333", "eu-west-1"))
KINDS = pytest.mark.parametrize(
    ("kind", "tag"),
    [
        (cloudwatch_logs, "cloud.aws.cloudwatch.logs"),
        (cloudwatch_metrics, "cloud.aws.cloudwatch.metrics"),
    ],
)


@KINDS
def test_events_keep_their_bytes(kind, tag):
    """An event is sent as the source wrote it, under its service's tag."""
    (out,) = kind.transform(TagRule(kind.TEMPLATE))(BLOCK)
    assert (out.tag, out.payload, out.count) == (tag, PAYLOAD, 2)


@KINDS
def test_suffix_and_environment_are_added(kind, tag):
    """Account and region end the tag, and the environment begins the event, when asked for."""
    (out,) = kind.transform(TagRule(kind.TEMPLATE, "account_region"), Stamp("prod"))(BLOCK)
    assert out.tag == f"{tag}.111122223333.eu-west-1"
    assert out.payload.startswith(b'{"@devo_environment":"prod","message":"a"}\n{"@devo_environment"')
