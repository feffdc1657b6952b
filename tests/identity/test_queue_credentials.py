"""An input with two identities: one reads the queue, the other the objects that it announces."""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from flows.check.finding import Level
from flows.check.run import findings
from flows.commands.iam_policy import grants
from flows.config.load import load
from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.ministack import REGION, Ministack
from tests.fakes.process import wait_until

ACCOUNT, TRAIL = "000000000000", "cloud.aws.cloudtrail.events"
QUEUE_ACTIONS = ["sqs:*"]
OBJECT_ACTIONS = ["s3:GetObject", "s3:GetObjectVersion"]


def user(aws: Ministack, name: str, actions: list[str]) -> dict[str, str]:
    """Make a user who may do that and nothing else; return the keys."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key": key["AccessKeyId"], "access_secret": key["SecretAccessKey"]}


@pytest.fixture(scope="module")
def aws():
    with Ministack(auth=True) as started:
        yield started


@pytest.fixture(scope="module")
def two(aws) -> dict[str, dict[str, str]]:
    """Return the two identities of an input: the vendor's for objects, one's own for the queue."""
    return {
        "credentials": user(aws, "vendor", OBJECT_ACTIONS),
        "queue_credentials": user(aws, "own", QUEUE_ACTIONS),
    }


def inputs(identities: dict[str, dict[str, str]], queue: str) -> dict[str, object]:
    service = {"regions": [REGION], "types": ["audits_s3"], "queue_name": queue}
    return {"prod": {"id": "1", **identities, "services": {"audit-events-all": service}}}


def announced(aws: Ministack, name: str) -> Counter:
    """Put objects into a bucket that announces them in a queue of the same name; return what is due."""
    queue, due = aws.queue(name), Counter()
    aws.announce_by_sqs(aws.bucket(name), queue)
    for number in range(20):
        record = json.dumps(
            {"eventName": "Op", "eventSource": "s3.amazonaws.com", "eventID": f"{number}"},
            separators=(",", ":"),
        )
        key = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/01/02/{number}.json"
        aws.put(name, key, f'{{"Records":[{record}]}}'.encode())
        due[TRAIL, record.encode()] += 1
    return due


@pytest.mark.timeout(200)
def test_the_queue_and_its_objects_are_read_by_two_identities(aws, two, rsyslog, certs, tmp_path):
    """Keys that may read objects only, beside keys that may read the queue only, bring every event once."""
    due = announced(aws, "two-identities")
    settings = configuration({}, output(rsyslog.port, certs), tmp_path, debug=True)
    settings["inputs"] = inputs(two, "two-identities")
    collector = Collector(aws, tmp_path / "collector", settings, Launch("flows"))
    collector.environment = {"AWS_DEFAULT_REGION": REGION}
    try:
        collector.start()
        wait_until(lambda: rsyslog.size() >= due.total() or not collector.alive, 90, "all events")
        collector.drain()
    finally:
        collector.kill()
    assert Counter(rsyslog.events()) == due


@pytest.fixture
def checked(aws, two, tmp_path, monkeypatch):
    """Return what runs `check` with identities of one's choice."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)

    def check(**given):
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump({"inputs": inputs(given, "checked")}))
        return list(findings(config))

    aws.announce_by_sqs(aws.bucket("checked"), aws.queue("checked"))
    return check


def test_check_asks_each_identity_for_its_own(checked, two):
    """Both identities are told; the queue is looked at with the one, the bucket with the other."""
    found = checked(**two)
    assert not [one for one in found if one.level is Level.FAIL and one.code != "output"]
    told = {one.where: one.what for one in found if one.code == "identity"}
    assert told == {
        "input prod, credentials": "works as arn:aws:iam::000000000000:user/vendor",
        "input prod, queue_credentials": "works as arn:aws:iam::000000000000:user/own",
    }


def test_check_names_the_identity_that_is_refused(checked, two):
    """Identities that were mixed up are told as such: who reads the queue may not, and which key says who."""
    mixed = {"credentials": two["queue_credentials"], "queue_credentials": two["credentials"]}
    found = checked(**mixed)
    refused = [one for one in found if one.level is Level.FAIL and "sqs:GetQueueUrl" in one.what]
    assert refused
    assert "user/vendor" in refused[0].what
    assert "input prod by queue_credentials" in refused[0].where


def test_policy_gives_each_identity_what_it_asks(tmp_path):
    """The queue's actions are for the identity that reads it, the objects' for the other."""
    config = tmp_path / "config.yaml"
    keys = {"access_key": "A", "access_secret": "B"}
    config.write_text(yaml.safe_dump({"inputs": inputs({"credentials": keys, "queue_credentials": {}}, "q")}))
    objects, queue = grants(load(Path(config)))
    assert (objects.who, queue.who) == (
        "the user of access_key",
        "the identity of the machine (queue_credentials)",
    )
    assert {action.split(":")[0] for one in objects.statements for action in one.actions} == {"s3"}
    assert {action.split(":")[0] for one in queue.statements for action in one.actions} == {"sqs"}
