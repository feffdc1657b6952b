"""The signature is botocore's, for any body, key, query and token."""

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.aws.signed.signature import Scope, SignedRequest, V4Signer, signed_by

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "20260102T030405Z"
TOKENS = st.sampled_from([None, "a/token+of=sts"])
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40)


def ours(asked, scope, token):
    """Return target, headers and body as they are sent."""
    signer = V4Signer(Credentials("AKIDEXAMPLE", "wJalr/+EXAMPLE", token), NOW.timestamp)
    head, _, body = signer.signed(asked, scope).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first.split(" ")[1], dict(line.split(": ", 1) for line in lines), body


def theirs(signer, request, token):
    request.headers["X-Amz-Date"] = request.context["timestamp"] = STAMP
    if token:
        request.headers["X-Amz-Security-Token"] = token
    return signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(TEXT, st.text(max_size=200), max_size=5),
    TOKENS,
    st.sampled_from(["us-east-1", "cn-north-1"]),
)
def test_a_call_is_signed_as_botocore_signs_it(parameters, token, region):
    """Operations of JSON protocols, with and without a session token."""
    body = json.dumps(parameters).encode()
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.ReceiveMessage"}
    host = f"sqs.{region}.amazonaws.com"
    asked = SignedRequest("POST", host, "/", "", headers, body, "agent")
    _, sent, rest = ours(asked, Scope(region, "sqs"), token)
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=headers)
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "wJalr/+EXAMPLE", token), "sqs", region)
    assert sent["authorization"].endswith(f"Signature={theirs(signer, request, token)}")
    assert (sent["host"], rest, sent["content-length"]) == (host, body, str(len(body)))


@settings(max_examples=50, deadline=None)
@given(TEXT, st.none() | TEXT, TOKENS, st.sampled_from([{}, {"range": "bytes=4-", "if-match": '"etag"'}]))
def test_an_object_is_asked_for_as_botocore_signs_it(key, version, token, headers):
    """Any key and version of a bucket; S3 encodes a path once."""
    host, path = "bucket.s3.eu-west-1.amazonaws.com", f"/{quote(key, safe='/~')}"
    query = f"versionId={quote(version, safe='~')}" if version else ""
    target, sent, _ = ours(SignedRequest("GET", host, path, query, headers), Scope("eu-west-1", "s3"), token)
    params = {"versionId": version} if version else None
    request = AWSRequest("GET", f"https://{host}{path}", params=params, headers=headers)
    request.headers["X-Amz-Content-SHA256"] = sent["x-amz-content-sha256"]
    signer = S3SigV4Auth(Credentials("AKIDEXAMPLE", "wJalr/+EXAMPLE", token), "s3", "eu-west-1")
    assert sent["authorization"].endswith(f"Signature={theirs(signer, request, token)}")
    assert request.prepare().url.partition(host)[2].replace("+", "%20") == target


PLAIN = (
    "AWS4-HMAC-SHA256 Credential=AKID/20260102/cn-north-1/s3/aws4_request, SignedHeaders=host, Signature=0"
)
SET = "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260102/s3/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("header", "scope"),
    [(PLAIN, Scope("cn-north-1", "s3")), (SET, None), ("AWS AKID:signature", None), ("", None)],
)
def test_only_the_plain_way_is_learnt(header, scope):
    """Multi-region access points and signature version 2 are signed by others."""
    found = signed_by(header)
    assert (found and found[0]) == scope


def test_the_days_key_is_the_days():
    """A new day, other keys: another signature, from the first request on."""
    now = [NOW.timestamp()]
    keys = Credentials("AKIDEXAMPLE", "one")
    signer, asked, scope = V4Signer(keys, lambda: now[0]), SignedRequest("GET", "h", "/"), Scope("r", "sqs")
    first = signer.signed(asked, scope)
    now[0] += 86_400
    second = signer.signed(asked, scope)
    now[0] -= 86_400
    assert signer.signed(asked, scope) == first != second
    keys.secret_key = "two"
    assert signer.signed(asked, scope) != first
