"""Memory is bounded whatever the size of an object: the short form of `make big`."""

from tests.chaos.big import MIB, bomb, cloudtrail, vpc, weigh

_SIZE = 200 * MIB


def test_h09_a_large_cloudtrail_object_streams(stage):
    """A 200 MB CloudTrail object passes whole, in bounded memory."""
    one = weigh(stage, "cloudtrail", "audits_s3", cloudtrail(_SIZE), _SIZE, 60)
    assert one.good, one


def test_h09_a_large_flow_log_streams(stage):
    """A 200 MB flow log passes whole, in bounded memory."""
    one = weigh(stage, "vpc", "flowlogs", vpc(_SIZE), _SIZE, 60)
    assert one.good, one


def test_h09_a_bomb_goes_to_quarantine(stage):
    """5 MB that inflate to 5 GB: settled, told in quarantine, memory bounded, no event."""
    one = weigh(stage, "bomb", "flowlogs", bomb(), 0, 60)
    assert one.good, one
    told = [path.read_bytes() for path in (stage.folder / "quarantine").rglob("*") if path.is_file()]
    assert any(b"bomb" in record for record in told)
