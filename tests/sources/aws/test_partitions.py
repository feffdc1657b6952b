"""Partitions, regions and hosts are botocore's: whatever it knows, this knows, and nothing else."""

from contextlib import suppress
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointProviderError, EndpointVariantError

from sources.aws import partitions
from sources.aws.account import Account
from sources.aws.partitions import home_of, is_region, name_of, region_of_queue
from transforms.tags import place

SESSION = botocore.session.Session()
REGIONS = sorted(
    (region, one["partition"])
    for one in SESSION.get_component("data_loader").load_data("endpoints")["partitions"]
    for region in one["regions"]
)
KEYS = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "secret"}


def hosts_of(service, region, **config):
    """Return the hosts that botocore itself names and asks; none where it refuses such an endpoint."""
    asked = []

    def stop(request, **_):
        asked.append(urlsplit(request.url).hostname)
        raise ConnectionError

    try:
        config = Config(retries={"total_max_attempts": 1}, **config)
        client = SESSION.create_client(service, region_name=region, config=config, **KEYS)
        client.meta.events.register("before-send", stop)
        with suppress(ConnectionError):
            client.list_queues()
    except (EndpointProviderError, EndpointVariantError):
        return set()
    return {*asked, urlsplit(client.meta.endpoint_url).hostname}


def test_r10_all_partitions_are_there():
    """Commercial, China, GovCloud, the isolated ones and Europe's sovereign cloud, as botocore lists them."""
    assert {one.name for one in partitions.partitions()} == set(SESSION.get_available_partitions())
    assert ("eusc-de-east-1", "aws-eusc") in REGIONS


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_r10_each_region_has_its_partition_and_home(region, partition):
    """A region's ARNs name botocore's partition, and STS is asked in the region itself or at a home of it."""
    assert is_region(region)
    assert name_of(region) == partition == SESSION.get_partition_for_region(region)
    assert home_of(partition, region) == region
    assert name_of(home_of(partition)) == partition
    assert place(f"AWSLogs/123456789012/CloudTrail/{region}/2026/01/02/x", "", "") == ("123456789012", region)


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_r10_each_queue_host_of_botocore_tells_its_region(region, partition):
    """Plain, dual-stack, FIPS and both, the older names and private links: all tell the region."""
    hosts = {
        host
        for dual in (False, True)
        for fips in (False, True)
        for host in hosts_of("sqs", region, use_dualstack_endpoint=dual, use_fips_endpoint=fips)
    }
    suffix = next(one for one in partitions.partitions() if one.name == partition).suffixes[0]
    hosts |= {f"{region}.queue.{suffix}", f"vpce-0a-1b.sqs.{region}.vpce.{suffix}"}
    hosts |= {f"vpce-0a-1b-{region}a.sqs.{region}.vpce.{suffix}"}
    assert len(hosts) >= 4
    assert {region_of_queue(one) for one in hosts} == {region}


def test_r10_the_oldest_queue_host_and_strangers():
    """SQS's first host is of its first region; hosts of other services and of nobody tell none."""
    assert region_of_queue("queue.amazonaws.com") == "us-east-1"
    for stranger in (
        "localhost",
        "127.0.0.1",
        "sqs.eu-west-1.amazonaws.com.evil.example",
        "s3.eu-west-1.amazonaws.com",
        "amazonaws.com",
        "sqs.amazonaws.com",
    ):
        assert region_of_queue(stranger) == ""


@pytest.mark.parametrize(
    "text", ["", "eu-west", "EU-WEST-1", "aws-global", "nowhere", "eu-west-1 ", "eu-west-1\n"]
)
def test_what_is_no_region(text):
    """What no partition of botocore's has or could have is none."""
    assert not is_region(text)


def test_a_region_of_tomorrow():
    """A region that botocore does not list yet, but a partition's own rule fits, is one."""
    assert name_of("eu-west-99") == "aws"
    assert name_of("us-gov-central-7") == "aws-us-gov"
    assert region_of_queue("sqs.eu-west-99.amazonaws.com") == "eu-west-99"


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_r10_sts_is_asked_in_the_partition_that_is_collected(region, partition, monkeypatch):
    """Keys without AWS_REGION are greeted where their partition is, as are those of a machine elsewhere."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    found = Account("a", region=region).client("sts", "").meta
    assert SESSION.get_partition_for_region(found.region_name) == partition
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = Account("a", region=region).client("sts", "").meta
    assert SESSION.get_partition_for_region(found.region_name) == partition


@pytest.mark.parametrize(
    ("partition", "configured", "home"),
    [
        ("aws", "", "us-east-1"),
        ("aws", "eu-west-1", "eu-west-1"),
        ("aws-cn", "", "cn-northwest-1"),
        ("aws-cn", "eu-west-1", "cn-northwest-1"),
        ("aws-cn", "cn-north-1", "cn-north-1"),
        ("aws-us-gov", "us-east-1", "us-gov-west-1"),
        ("aws-us-gov", "us-gov-east-1", "us-gov-east-1"),
    ],
)
def test_sts_is_asked_in_the_roles_partition(partition, configured, home):
    """Roles of China and GovCloud are assumed there, whatever region the machine has."""
    assert home_of(partition, configured) == home
