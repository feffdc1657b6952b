"""Notices that AWS wrote, against an oracle of what its documentation says they mean."""

import json
from pathlib import Path

import pytest

from sources.queues.s3_notification import parse
from tests.recordings.notice_oracle import told

FILE = Path(__file__).parents[3] / "shared/recordings/s3_notices.jsonl"
RECORDED = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []

pytestmark = pytest.mark.skipif(not RECORDED, reason="the recordings are not here")


def test_every_recording_is_here():
    """The four ways by which notices come are all among the recordings."""
    kinds = [one["kind"] for one in RECORDED]
    assert len(kinds) == 101
    assert set(kinds) == {"s3", "sns", "eventbridge", "lambda_destination"}
    assert sum(bool(told(one["body"]).objects) for one in RECORDED) > 20


@pytest.mark.parametrize(
    "body",
    [one["body"] for one in RECORDED],
    ids=[f"{number}-{one['from']}" for number, one in enumerate(RECORDED)],
)
def test_r6_recorded_notice(body):
    """Its objects are found with all that is told of them, the rest is counted, no notice is unknown."""
    found, expected = parse(body), told(body)
    assert expected.objects == tuple(
        (one.bucket, one.key, one.version_id, one.etag, one.size, one.region) for one in found.objects
    )
    assert len(found.ignored) == expected.others
    assert bool(found.unknown) == expected.strange
