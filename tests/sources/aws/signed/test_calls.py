"""Cheap calls say what boto3 says: the same signature, the same reply; what is not plain is boto3's."""

from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sources.aws.signed import hosts
from sources.aws.signed.calls import SignedCalls, read_json

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RECEIVE = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 0, "MessageSystemAttributeNames": ["SentTimestamp"]}


def client(aws, service="sqs"):
    """Return a client of its own, that does not try again."""
    variables = aws.environment()
    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )


@pytest.fixture
def queue(aws, unique):
    return aws.client("sqs").create_queue(QueueName=unique("queue"))["QueueUrl"]


def counted(made):
    """Return the operations that a client itself is asked for, from now on."""
    asked = []
    made.meta.events.register("before-call.sqs", lambda model, **_: asked.append(model.name))
    return asked


def test_a_reply_is_boto3s(aws, queue):
    """Receive, delete, visibility: the first call by the client, the others without it, the same replies."""
    made = client(aws)
    calls, asked = SignedCalls(made), counted(made)
    for body in ("first", "second ü 🎉", "third"):
        made.send_message(QueueUrl=queue, MessageBody=body)
    found = []
    while len(found) < 3:
        found += calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE}).get("Messages", [])
    assert sorted(one["Body"] for one in found) == ["first", "second ü 🎉", "third"]
    handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]
    for _ in range(2):
        entries = [{**one, "VisibilityTimeout": 30} for one in handles]
        reply = calls.call("ChangeMessageVisibilityBatch", {"QueueUrl": queue, "Entries": entries})
        assert {one["Id"] for one in reply["Successful"]} == {"0", "1", "2"}
    for one in handles[:2]:
        assert calls.call("DeleteMessageBatch", {"QueueUrl": queue, "Entries": [one]})["Successful"]
    assert calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE}).get("Messages", []) == []
    assert asked.count("DeleteMessageBatch") == asked.count("ChangeMessageVisibilityBatch") == 1
    assert asked.count("ReceiveMessage") == 1


def test_an_error_is_boto3s(aws, queue):
    """A queue that is gone raises what boto3 raises, and the good one goes on without the client."""
    made = client(aws)
    calls, asked = SignedCalls(made), counted(made)
    calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE})
    with pytest.raises(ClientError, match=r"NonExistentQueue|QueueDoesNotExist"):
        calls.call("ReceiveMessage", {"QueueUrl": f"{queue}-gone", **RECEIVE})
    calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE})
    assert asked.count("ReceiveMessage") == 2


def test_after_a_few_in_a_row_the_client_is_asked_at_once(aws, queue, monkeypatch):
    """What fails again and again is not asked twice for a while."""
    made = client(aws)
    calls, asked = SignedCalls(made), counted(made)
    calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE})
    tried = []
    monkeypatch.setattr(SignedCalls, "_asked", lambda *_: tried.append(1))
    for _ in range(9):
        calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE})
    assert (len(tried), len(asked)) == (5, 10)


def test_another_protocol_is_the_clients(aws):
    """What is no JSON, as STS's, is left to boto3."""
    calls = SignedCalls(client(aws, "sts"))
    for _ in range(2):
        assert calls.call("GetCallerIdentity", {})["Account"]
    assert not calls._ways


def test_a_proxy_is_the_clients(aws, queue, monkeypatch):
    """Where a proxy leads to AWS without TLS, boto3 goes through it."""
    calls, asked = SignedCalls(made := client(aws)), counted(made)
    monkeypatch.setattr(hosts, "get_environ_proxies", lambda _url: {"http": "http://proxy:3128"})
    for _ in range(2):
        calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE})
    assert asked.count("ReceiveMessage") == 2


def test_boto3_makes_every_call_where_that_is_asked_for(aws, queue, monkeypatch):
    """COLLECTOR_BOTO3=1 is the way back: nothing is asked past the client."""
    monkeypatch.setenv(hosts.VARIABLE, "1")
    made = client(aws)
    calls, asked = SignedCalls(made), counted(made)
    for _ in range(3):
        assert calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE}).get("Messages", []) == []
    assert asked == ["ReceiveMessage"] * 3


def test_half_a_surrogate_pair_is_read():
    """A batch that orjson refuses would come again for ever, to nobody."""
    assert read_json(b'{"Body": "\\ud83d"}') == {"Body": "\ud83d"}
