"""Cheap calls say what boto3 says: the same signature, the same reply; what is not plain is boto3's."""

import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.aws import signed_calls
from sources.aws.signed_calls import SignedCalls, read_json

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


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=200), max_size=5),
    st.sampled_from([None, "a/token+of=sts"]),
    st.sampled_from(["us-east-1", "cn-north-1"]),
)
def test_the_signature_is_botocores(parameters, token, region):
    """For any body, with and without a session token, the request is signed as botocore signs it."""
    made = boto3.client(
        "sqs",
        region_name=region,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="wJalr/+EXAMPLE",
        aws_session_token=token,
    )
    calls = SignedCalls(made, NOW.timestamp)
    body = json.dumps(parameters).encode()
    headers = (("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.ReceiveMessage"))
    host = f"sqs.{region}.amazonaws.com"
    way = signed_calls._LearntCall(None, host, "/", headers, "agent", region, "sqs")
    head, _, sent = calls._request(way, body).partition(b"\r\n\r\n")
    ours = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    theirs = AWSRequest("POST", f"https://{host}/", data=body, headers=dict(headers))
    theirs.context["timestamp"] = "20260102T030405Z"
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "wJalr/+EXAMPLE", token), "sqs", region)
    signature = _signature(signer, theirs, token)
    assert sent == body
    assert ours["authorization"].endswith(f"Signature={signature}")
    assert ours["host"] == host


def _dated(request, token):
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if token:
        request.headers["X-Amz-Security-Token"] = token


def _signature(signer, request, token):
    _dated(request, token)
    return signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)


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
    """Where a proxy leads to AWS, boto3 goes through it."""
    calls = SignedCalls(client(aws))
    monkeypatch.setattr(signed_calls, "get_environ_proxies", lambda _url: {"http": "http://proxy:3128"})
    for _ in range(2):
        calls.call("ReceiveMessage", {"QueueUrl": queue, **RECEIVE})
    assert not calls._ways


def test_half_a_surrogate_pair_is_read():
    """A batch that orjson refuses would come again for ever, to nobody."""
    assert read_json(b'{"Body": "\\ud83d"}') == {"Body": "\ud83d"}
