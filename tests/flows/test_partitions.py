"""Every region that botocore knows, through the commands: what they print agrees with botocore."""

import json

import botocore.session
import pytest
import yaml

from flows.cli import main
from sources.aws.partitions import partitions

SESSION = botocore.session.Session()
REGIONS = sorted(
    (region, one["partition"])
    for one in SESSION.get_component("data_loader").load_data("endpoints")["partitions"]
    for region in one["regions"]
)
ACCOUNT = "123456789012"


def services(region, queue):
    return {
        "non-cloudwatch-logs": {
            "types": ["flowlogs"],
            "regions": [region],
            "vpcflowlogs_sqs_queue_name": queue,
        },
        "audit-events-all": {"types": ["audits_api"], "regions": [region]},
        "aws-guardduty": {"regions": [region]},
        "app-logs": {"types": ["logs"], "regions": [region], "log_group": "/app"},
        "metrics-all": {"regions": [region]},
    }


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Return what writes a configuration of one region; this machine is in none."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)

    def write(region, partition, queue):
        role = f"arn:{partition}:iam::{ACCOUNT}:role/reader"
        credentials = {"base_assume_role": f"{role}-first", "target_assume_role": role}
        made = {"id": "1", "credentials": credentials, "services": services(region, queue)}
        path = tmp_path / "config.yaml"
        outputs = {"here": {"type": "file", "config": {"path": str(tmp_path / "events.log")}}}
        path.write_text(yaml.safe_dump({"inputs": {"aws": made}, "outputs": outputs}))
        return path

    return write


def suffixes(partition):
    return next(one for one in partitions() if one.name == partition).suffixes


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_r10_check_and_policy_of_every_region(region, partition, configured, capsys):
    """`check --offline` takes each region and its queue URLs, `policy` prints only its partition's ARNs."""
    for queue in ("q", *(f"https://sqs.{region}.{suffix}/{ACCOUNT}/q" for suffix in suffixes(partition))):
        path = configured(region, partition, queue)
        assert main(["check", "--offline", "--config", str(path)]) == 0
        assert "queue_region" not in capsys.readouterr().out
        assert main(["policy", "--config", str(path), "--account", ACCOUNT]) == 0
        documents = json.loads(capsys.readouterr().out)
        resources = [
            resource
            for document in documents.values()
            for statement in document["Statement"]
            for resource in statement["Resource"]
        ]
        assert f"arn:{partition}:sqs:{region}:{ACCOUNT}:q" in resources
        assert f"arn:{partition}:s3:::*/*" in resources
        assert {one.split(":")[1] for one in resources if one != "*"} == {partition}


def test_r10_the_url_decides_the_partition_of_its_objects(configured, tmp_path, capsys):
    """Objects that a queue's URL announces are of the URL's partition, whatever `regions` says."""
    path = configured("eu-west-1", "aws", "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q")
    assert main(["policy", "--config", str(path)]) == 0
    assert "arn:aws-cn:s3:::*/*" in capsys.readouterr().out


@pytest.mark.parametrize("region", ["eu-west", "aws-global", "mars-north-1"])
def test_what_is_no_region_is_refused_before_it_runs(region, configured, capsys):
    """A region of no partition is a mistake of the configuration, told with whose data says so."""
    path = configured(region, "aws", "q")
    assert main(["check", "--offline", "--config", str(path)]) == 1
    assert "is no region that botocore" in capsys.readouterr().out
