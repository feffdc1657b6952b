"""A 200 that AWS did not write, a proxy's page for instance, is an error: never an empty queue or folder."""

from io import BytesIO

import pytest
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

from sources.aws.account import Account, Credentials
from sources.errors import Transient

PAGES = {
    "page in XML": b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><p>Blocked</p></html>',
    "cut": b'{"Messages": [{"Mess',
    "empty": b"",
}
"""botocore itself calls a listing that was cut a server's error."""

CALLS = {
    "ReceiveMessage": ("sqs", lambda made: made.receive_message(QueueUrl="https://sqs.test/1/q")),
    "DeleteMessageBatch": ("sqs", lambda made: made.delete_message_batch(QueueUrl="https://q", Entries=[])),
    "FilterLogEvents": ("logs", lambda made: made.filter_log_events(logGroupName="/g")),
    "ListObjectsV2": ("s3", lambda made: made.list_objects_v2(Bucket="b")),
}


def answering(service: str, body: bytes):
    """Return a client of the account's whose every request is answered with a body and 200."""
    given = Credentials(access_key="AKIA", access_secret="s")
    made = Account("x", given, region="us-east-1").client(service, "us-east-1")

    def reply(request, **_):
        raw = HTTPResponse(BytesIO(body), status=200, preload_content=False)
        return AWSResponse(request.url, 200, {}, raw)

    made.meta.events.register("before-send", reply)
    return made


@pytest.mark.parametrize(
    ("call", "page"),
    [(call, page) for call in CALLS for page in PAGES if (call, page) != ("ListObjectsV2", "cut")],
)
def test_a_page_that_is_not_awss_is_no_empty_reply(call, page):
    """It is told and tried again: a queue looked empty, and a folder listed so counted as read."""
    service, ask = CALLS[call]
    with pytest.raises(Transient, match=r"no JSON|without IsTruncated"):
        ask(answering(service, PAGES[page]))


def test_an_empty_queue_and_an_empty_folder_are_empty():
    """What AWS says of them passes."""
    assert "Messages" not in answering("sqs", b"{}").receive_message(QueueUrl="https://sqs.test/1/q")
    folder = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>0</KeyCount>'
    folder += b"<IsTruncated>false</IsTruncated></ListBucketResult>"
    assert "Contents" not in answering("s3", folder).list_objects_v2(Bucket="b")
