"""botocore's errors become ours: the right kind, with what, where and hint."""

import inspect
import ssl

import pytest
import urllib3
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from sources import errors
from sources.errors import (
    BadCredentials,
    Denied,
    ExpiredCredentials,
    IdentityAbsent,
    Missing,
    ObjectArchived,
    ObjectChanged,
    ObjectGone,
    ReceiptHandleInvalid,
    SourceError,
    Throttled,
    Transient,
    kind_of,
    translate,
)


def reply(code, operation="ReceiveMessage", status=400, message=""):
    return boto.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, Throttled),
        ("SlowDown", 503, Throttled),
        ("TooManyRequestsException", 429, Throttled),
        ("Unheard", 429, Throttled),
        ("InternalError", 500, Transient),
        ("ServiceUnavailable", 503, Transient),
        ("Unheard", 502, Transient),
        ("AccessDenied", 403, Denied),
        ("AccessDeniedException", 400, Denied),
        ("KMS.DisabledException", 400, Denied),
        ("KmsAccessDenied", 400, Denied),
        ("KMS.ThrottlingException", 400, Throttled),
        ("KmsThrottled", 400, Throttled),
        ("Unheard", 403, Denied),
        ("ExpiredToken", 400, ExpiredCredentials),
        ("ExpiredTokenException", 403, ExpiredCredentials),
        ("InvalidClientTokenId", 403, BadCredentials),
        ("SignatureDoesNotMatch", 403, BadCredentials),
        ("RequestTimeTooSkewed", 403, BadCredentials),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, Missing),
        ("QueueDoesNotExist", 400, Missing),
        ("ResourceNotFoundException", 400, Missing),
        ("NoSuchBucket", 404, Missing),
        ("PermanentRedirect", 301, Missing),
        ("Unheard", 404, Missing),
        ("ReceiptHandleIsInvalid", 400, ReceiptHandleInvalid),
        ("AWS.SimpleQueueService.MessageNotInflight", 400, ReceiptHandleInvalid),
        ("NoSuchKey", 404, ObjectGone),
        ("NoSuchVersion", 404, ObjectGone),
        ("PreconditionFailed", 412, ObjectChanged),
        ("InvalidRange", 416, ObjectChanged),
        ("InvalidObjectState", 403, ObjectArchived),
        ("ValidationException", 400, SourceError),
        ("", 200, SourceError),
    ],
)
def test_codes(code, status, kind):
    """AWS's code decides, the HTTP status where the code is unheard of."""
    assert type(translate(reply(code, status=status), "here")) is kind


def noted(code, message=""):
    error = reply(code, "FilterLogEvents", message=message)
    error.response["ResponseMetadata"][errors.IDENTITY] = "input a, credentials"
    return error


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredTokenException"])
def test_a_refused_identity_is_one_cause_for_all(code):
    """Wherever a call is refused for its identity, what to repair and the cause are that identity."""
    found = [translate(noted(code), f"group {n}", "logs:FilterLogEvents") for n in range(2)]
    assert {(error.where, error.cause) for error in found} == {("input a, credentials",) * 2}


def test_a_lacking_permission_is_one_cause_for_all_resources():
    """The cause is action and principal; each error names its own resource all the same."""
    text = "arn:aws:iam::1:user/b is not authorized to perform: logs:FilterLogEvents on resource: arn:aws:{}"
    found = [translate(noted("AccessDeniedException", text.format(n)), f"group {n}") for n in range(2)]
    assert {error.cause for error in found} == {"logs:FilterLogEvents for arn:aws:iam::1:user/b"}
    assert [error.hint[-9:] for error in found] == ["arn:aws:0", "arn:aws:1"]


def test_a_bare_refusal_is_one_cause_for_its_identity():
    """Where AWS does not say who was refused what, the identity and the action asked for do."""
    found = translate(noted("AccessDenied"), "s3://b/k", "s3:GetObject")
    assert found.cause == "s3:GetObject for input a, credentials"


def test_what_is_no_refusal_has_no_common_cause():
    """Throttling, resets and missing things are each target's own."""
    for code in ("ThrottlingException", "InternalError", "ResourceNotFoundException", "ValidationException"):
        assert not translate(noted(code), "here").cause


def test_an_error_can_be_raised_again():
    """The same words and cause, without the traceback of the first time."""
    error = BadCredentials("a", "b", "c", cause="d")
    again = error.again()
    assert (type(again), str(again), again.cause) == (BadCredentials, "a: b: c", "d")
    assert again is not error


def test_h04_expired_receipt_of_a_fifo_queue():
    """A FIFO queue says InvalidParameterValue of an expired receipt, and of other things."""
    message = "Value AQ for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    assert kind_of("InvalidParameterValue", 400, message) is ReceiptHandleInvalid
    assert kind_of("InvalidParameterValue", 400, "Value 11 for parameter X is invalid") is SourceError


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject"])
def test_h07_object_gone(operation):
    """A read without a body says 404; an unknown bucket is another matter."""
    assert type(translate(reply("404", operation, 404), "s3://b/k")) is ObjectGone
    assert type(translate(reply("NoSuchBucket", operation, 404), "s3://b/k")) is Missing
    assert type(translate(reply("404", "ListObjectsV2", 404), "s3://b")) is Missing


def test_h07_absent_object_without_list_permission():
    """Without ListBucket, S3 says of an absent object that listing is not allowed: the object is gone."""
    message = (
        "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: s3:ListBucket on resource: "
        '"arn:aws:s3:::b" because no identity-based policy allows the s3:ListBucket action'
    )
    assert type(translate(reply("AccessDenied", "GetObject", 403, message), "s3://b/k")) is ObjectGone
    assert type(translate(reply("AccessDenied", "ListObjectsV2", 403, message), "s3://b")) is Denied


def test_h07_denied_names_action_resource_and_principal():
    """What AWS tells of a refusal is in the hint: a KMS key, and the role that must be allowed."""
    message = (
        "User: arn:aws:sts::1:assumed-role/reader/s is not authorized to perform: kms:Decrypt on resource: "
        "arn:aws:kms:eu-west-1:1:key/k because no identity-based policy allows it"
    )
    error = translate(reply("AccessDenied", "GetObject", 403, message), "s3://b/k (input a)", "s3:GetObject")
    assert error.hint == (
        "allow kms:Decrypt for arn:aws:sts::1:assumed-role/reader/s on arn:aws:kms:eu-west-1:1:key/k"
    )
    assert error.where == "s3://b/k (input a)"


def test_h07_denied_without_details():
    """A plain refusal names what the caller knows: action, bucket and key, and that KMS may be it."""
    error = translate(reply("AccessDenied", "GetObject", 403), "s3://b/k (input a)", "s3:GetObject")
    assert error.hint.startswith("allow s3:GetObject for the collector's identity on s3://b/k (input a)")
    assert "kms:Decrypt" in error.hint


@pytest.mark.parametrize(
    "error",
    [
        boto.ConnectTimeoutError(endpoint_url="https://x"),
        boto.ReadTimeoutError(endpoint_url="https://x"),
        boto.EndpointConnectionError(endpoint_url="https://x"),
        boto.ConnectionClosedError(endpoint_url="https://x"),
        boto.ResponseStreamingError(error="cut"),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        boto.ProxyConnectionError(proxy_url="https://x"),
        boto.SSLError(endpoint_url="https://x", error="bad"),
        ResponseParserError("html"),
        urllib3.exceptions.ProtocolError("cut"),
        ConnectionResetError(),
        TimeoutError(),
        ssl.SSLError("bad"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_h19_lost_connections_are_transient(error):
    """Resets, timeouts and cut bodies are tried again."""
    found = translate(error, "here")
    assert type(found) is Transient
    assert found.hint


@pytest.mark.parametrize(
    "error",
    [
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        boto.CredentialRetrievalError(provider="imds", error_msg="none"),
        boto.ProfileNotFound(profile="x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_credentials(error):
    """A machine without an identity is told so."""
    assert type(translate(error, "here")) is IdentityAbsent


def test_ours_pass():
    """An error of this tree, raised while botocore renewed a session, stays what it is."""
    error = BadCredentials("a", "b", "c")
    assert translate(error, "elsewhere") is error


def test_others_are_told_by_name():
    """An error of another kind is not called transient."""
    found = translate(boto.ParamValidationError(report="x"), "here")
    assert type(found) is SourceError
    assert "ParamValidationError" in found.what


def test_messages_are_one_line_of_bounded_length():
    """A proxy's HTML page does not flood the log."""
    error = translate(reply("X", message="<html>\n<body>" + "x" * 9000), "here")
    assert "\n" not in str(error)
    assert len(error.what) <= 500


def test_every_kind_has_a_hint():
    """No error of the tree comes out without what to do."""
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        codes = [code for code, found in errors._BY_CODE.items() if found is kind]
        for code in codes:
            found = translate(reply(code), "here", "sqs:ReceiveMessage")
            assert found.what
            assert found.where
            assert found.hint


def test_h18_a_session_token_in_a_refusal_is_not_told():
    """AWS repeats the whole request when a signature does not match, the session's token in its headers."""
    message = (
        "The request signature we calculated does not match the signature you provided. Check your key.\n\n"
        "The Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:planted\n'"
    )
    error = boto.ClientError(
        {"Error": {"Code": "SignatureDoesNotMatch", "Message": message}}, "ReceiveMessage"
    )
    told = str(translate(error, "queue q"))
    assert "Check your key." in told
    assert "planted" not in told
