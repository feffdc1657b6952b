"""Quarantine that is announced again, to its own collector or another's, ends by itself."""

import time

import pytest

from tests.fakes.collector import Stage, configuration, output, services
from tests.fakes.process import wait_until
from tests.fakes.receivers import running

KEY = "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/11/30/broken.json.gz"
QUIET_SECONDS = 6


def _left(aws, sites):
    return sum(sum(aws.depth(site.queues["audits_s3"])) for site in sites)


def _count(aws, bucket):
    return aws.client("s3").list_objects_v2(Bucket=bucket).get("KeyCount", 0)


@pytest.mark.parametrize("crossed", [False, True], ids=["its own", "each other's"])
def test_r5_quarantine_in_announced_buckets(stage, crossed):
    """A broken object each, quarantines within announced buckets: one quarantine object each, then peace."""
    sites = [stage.site(), stage.site()]
    buckets = [site.buckets["audits_s3"] for site in sites]
    running_ones = []
    for receiver in running("rsyslog", stage.folder / "receiver", stage.certs):
        try:
            for number, site in enumerate(sites):
                folder = stage.folder / f"c{number}"
                folder.mkdir()
                place = buckets[1 - number] if crossed else buckets[number]
                told = configuration(
                    services([site], auto=False, only=["audits_s3"]),
                    output(receiver.port, stage.certs),
                    folder,
                    quarantine=f"s3://{place}/quarantine-{number}",
                )
                own = Stage(stage.aws, stage.unique, stage.certs, folder)
                running_ones.append(own.collector(told).start())
            for bucket in buckets:
                stage.aws.put(bucket, KEY, b"no JSON at all")
            wait_until(lambda: [_count(stage.aws, one) for one in buckets] == [2, 2], 40, "one each")
            time.sleep(QUIET_SECONDS)
            assert [_count(stage.aws, one) for one in buckets] == [2, 2]
            wait_until(lambda: not _left(stage.aws, sites), 40, "all is settled")
        finally:
            for one in running_ones:
                one.kill()
        receiver.stop()
