"""Errors as AWS itself answered them, served once more over HTTP in each service's own form, to botocore.

The oracle is written from AWS's documentation: the S3 API's "Error responses", the lists of errors of SQS,
CloudWatch Logs, CloudWatch, STS and KMS, and IAM's "Troubleshoot access denied error messages".
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from flows.catalogue.services import CATALOGUE
from sources import errors
from sources.errors import kind_of, translate
from sources.queues.failure_policy import Rules, decide

RECORDINGS = Path(__file__).parents[2].parent / "shared/recordings"
pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recordings here")

ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "s3": ("GetObject", "s3:GetObject", {"Bucket": "b", "Key": "k"}),
    "sqs": ("ReceiveMessage", "sqs:ReceiveMessage", {"QueueUrl": "http://127.0.0.1/1/q"}),
    "logs": ("FilterLogEvents", "logs:FilterLogEvents", {"logGroupName": "g"}),
    "cloudwatch": (
        "GetMetricData",
        "cloudwatch:GetMetricData",
        {"MetricDataQueries": [], "StartTime": 0, "EndTime": 1},
    ),
    "sts": ("AssumeRole", "sts:AssumeRole", {"RoleArn": "arn:aws:iam::1:role/r", "RoleSessionName": "name"}),
    "kms": ("Decrypt", "kms:Decrypt", {"CiphertextBlob": b"x"}),
}
"""Service → the call that is answered, its IAM action, its parameters. KMS only speaks through S3 and SQS."""


class Recorded(NamedTuple):
    """One recorded error."""

    origin: str
    service: str
    status: int
    error: dict[str, str]


def recorded() -> list[Recorded]:
    if not RECORDINGS.is_dir():
        return []
    text = (RECORDINGS / "errors.jsonl").read_text().replace("us_east_1_region-1", "us-east-1")
    lines = text.splitlines()
    return [
        Recorded(one["from"], one["service"], one["status"], one["error"]) for one in map(json.loads, lines)
    ]


# the oracle


class Outcome(NamedTuple):
    """What must come of an error. verdict: reason of `decide`. words: all of them stand in the hint."""

    kind: type[errors.SourceError]
    verdict: str
    words: tuple[str, ...] = ()


REFUSED = Outcome(errors.SourceError, "refused", ("compare the configuration",))
MISSING = Outcome(errors.Missing, "missing", ("name", "region"))
GONE = Outcome(errors.ObjectGone, "object_gone", ("object_gone",))
CHANGED = Outcome(errors.ObjectChanged, "object_changed", ("read again",))
DENIED = Outcome(errors.Denied, "denied", ("allow {action}", "{where}"))
TRANSIENT = Outcome(errors.Transient, "transient", ("tried again",))
THROTTLED = Outcome(errors.Throttled, "throttled", ("more slowly",))
CUSTOMER_KEY = Outcome(errors.ObjectBroken, "object_broken", ("SSE-C",))

TEXTS: tuple[tuple[str, str, Outcome], ...] = (
    ("s3", "Server Side Encryption with Customer provided keys must provide the correct", CUSTOMER_KEY),
    ("s3", "The object was stored using a form of Server Side Encryption", CUSTOMER_KEY),
    ("s3", "Invalid version id specified", Outcome(errors.ObjectBroken, "object_broken", ("version",))),
    ("sqs", "The receipt handle has expired", Outcome(errors.ReceiptHandleInvalid, "refused", ("again",))),
    ("", "pending deletion", Outcome(errors.Denied, "denied", ("cancel the deletion", "KMS key", "{key}"))),
    (
        "",
        "is pending import",
        Outcome(errors.Denied, "denied", ("import the key material", "KMS key", "{key}")),
    ),
    ("kms", "Invalid arn secondary-region-1", REFUSED),
)
"""What the words decide: (service or "" for any, part of the message, outcome)."""

CODES: dict[tuple[str, str], Outcome] = {}
"""(services, codes) → outcome, for everything else."""


def _codes(outcome: Outcome, service: str, names: str) -> None:
    CODES.update({(service, name): outcome for name in names.split()})


_codes(
    REFUSED,
    "s3",
    """304 400 AuthorizationQueryParametersError BadDigest BadRequest BucketAlreadyOwnedByYou BucketNotEmpty
    ConditionalRequestConflict EntityTooLarge EntityTooSmall IdMismatch
    IllegalVersioningConfigurationException InvalidArgument
    InvalidBucketName InvalidBucketOwnerAWSAccountID InvalidBucketState InvalidDigest
    InvalidEncryptionAlgorithmError InvalidLocationConstraint InvalidPart InvalidPartOrder
    InvalidPolicyDocument InvalidRequest InvalidS3DestinationBucket InvalidStorageClass InvalidTag
    InvalidTargetBucketForLogging MalformedACLError MalformedPolicy MalformedXML MissingSecurityHeader
    NotImplemented UnexpectedContent""",
)
_codes(
    MISSING,
    "s3",
    """AuthorizationHeaderMalformed IllegalLocationConstraintException NoSuchBucket NoSuchBucketPolicy
    NoSuchCORSConfiguration NoSuchConfiguration NoSuchLifecycleConfiguration NoSuchObjectLockConfiguration
    NoSuchPublicAccessBlockConfiguration NoSuchTagSet NoSuchUpload NoSuchWebsiteConfiguration
    ObjectLockConfigurationNotFoundError OwnershipControlsNotFoundError
    ReplicationConfigurationNotFoundError""",
)
_codes(GONE, "s3", "404 405 MethodNotAllowed NoSuchKey NoSuchVersion")
_codes(CHANGED, "s3", "412 PreconditionFailed InvalidRange InvalidPartNumber")
_codes(
    DENIED._replace(words=("allow s3:GetObject", "kms:Decrypt", "requester_pays")), "s3", "403 AccessDenied"
)
_codes(DENIED, "s3", "AccessForbidden CrossLocationLoggingProhibitted")
_codes(Outcome(errors.BadCredentials, "denied", ("credentials", "clock")), "s3", "SignatureDoesNotMatch")
_codes(Outcome(errors.ObjectArchived, "object_archived", ("restore",)), "s3", "InvalidObjectState")
_codes(TRANSIENT, "s3", "InternalError")
_codes(Outcome(errors.Denied, "denied", ("enable the KMS key", "{key}")), "s3", "KMS.DisabledException")
_codes(Outcome(errors.Denied, "denied", ("the KMS key", "{key}")), "s3", "KMS.NotFoundException")

_SQS = "AWS.SimpleQueueService."
_codes(
    REFUSED,
    "sqs",
    f"""{_SQS}BatchRequestTooLong {_SQS}InvalidBatchEntryId {_SQS}TooManyEntriesInBatchRequest
    InvalidAttributeName InvalidAttributeValue InvalidParameterValue MissingParameter QueueAlreadyExists""",
)
_codes(MISSING, "sqs", f"{_SQS}NonExistentQueue ResourceNotFoundException")
_codes(THROTTLED, "sqs", f"{_SQS}PurgeQueueInProgress")

_codes(REFUSED, "logs", "InvalidParameterException ResourceAlreadyExistsException ValidationException")
_codes(MISSING, "logs", "ResourceNotFoundException")
_codes(DENIED, "logs", "AccessDeniedException")
_codes(THROTTLED, "logs", "LimitExceededException")

_codes(REFUSED, "cloudwatch", "InvalidParameterCombination InvalidParameterValue ValidationError")
_codes(MISSING, "cloudwatch", "ResourceNotFound")
_codes(REFUSED, "sts", "InvalidParameterValue ValidationError")

_codes(
    REFUSED,
    "kms",
    """DryRunOperationException IncorrectKeyException InvalidCiphertextException KMSInvalidMacException
    KMSInvalidSignatureException TagException UnsupportedOperationException ValidationException""",
)
_codes(Outcome(errors.Denied, "denied", ("enable the KMS key", "{key}")), "kms", "DisabledException")
_codes(Outcome(errors.Denied, "denied", ("the KMS key", "{key}")), "kms", "NotFoundException")
_codes(Outcome(errors.Denied, "denied", ("see the state of the KMS key",)), "kms", "KMSInvalidStateException")
_codes(Outcome(errors.Denied, "denied", ("symmetric",)), "kms", "InvalidKeyUsageException")
_codes(THROTTLED, "kms", "LimitExceededException")


def expected(one: Recorded) -> Outcome:
    message = one.error.get("Message", "")
    for service, part, outcome in TEXTS:
        if service in {"", one.service} and part in message:
            return outcome
    return CODES[one.service, one.error["Code"]]


_STATUS = {
    "AccessDenied": 403,
    "AccessForbidden": 403,
    "SignatureDoesNotMatch": 403,
    "PreconditionFailed": 412,
}
_STATUS |= {"ResourceNotFound": 404}
"""Code → what S3's and CloudWatch's lists of errors say, where none was recorded; 400 for the others."""


# the wire


class Wire:
    """A loopback server that answers whatever is asked with one error, and the clients that ask it."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._clients: dict[str, Any] = {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _say(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, body = wire.answer
                self.send_response(status)
                silent = self.command == "HEAD" or status == 304
                for name, value in {**headers, "Content-Length": str(0 if silent else len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if not silent:
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = _say  # noqa: N815 - names of http.server

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{self._server.server_port}",
                region_name="eu-west-1",
                aws_access_key_id="AKIA",
                aws_secret_access_key="secret",
                config=Config(
                    retries={"total_max_attempts": 1, "mode": "standard"}, parameter_validation=False
                ),
            )
        return self._clients[service]

    def ask(self, one: Recorded) -> ClientError:
        """Serve a recorded error and return what botocore makes of it."""
        operation, _, parameters = ASKED[one.service]
        if one.error["Code"].isdigit():
            operation = "HeadObject"
        self.answer = served(one)
        with pytest.raises(ClientError) as caught:
            getattr(self.client(one.service), xform_name(operation))(**parameters)
        return caught.value


def served(one: Recorded) -> tuple[int, dict[str, str], bytes]:
    """Return a recorded error in the wire form of its service."""
    status = one.status or _STATUS.get(one.error["Code"], 400)
    members = {name: str(value) for name, value in one.error.items() if name != "QueryErrorCode"}
    code, message = one.error["Code"], one.error.get("Message", "")
    match one.service:
        case "s3":
            inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members.items())
            return status, {"Content-Type": "application/xml"}, f"<Error>{inner}</Error>".encode()
        case "sts":
            inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members.items())
            text = f"<ErrorResponse><Error>{inner}</Error><RequestId>r</RequestId></ErrorResponse>"
            return status, {"Content-Type": "text/xml"}, text.encode()
        case "sqs" | "cloudwatch":
            shape = one.error.get("QueryErrorCode", code)
            headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-query-error": f"{code};Sender"}
            return (
                status,
                headers,
                json.dumps({"__type": f"com.amazonaws#{shape}", "message": message}).encode(),
            )
        case _:
            body = {"__type": code, "message": message}
            return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


@pytest.mark.parametrize(
    "one", recorded(), ids=lambda one: f"{one.service}-{one.error['Code']}-{one.origin[-40:]}"
)
def test_r12_each_recorded_error_is_told_as_documented(one, wire):
    """Kind, verdict and the words of the hint are those that AWS's documentation asks for."""
    raised = wire.ask(one)
    assert raised.response["Error"]["Code"] == one.error["Code"]
    where, action = "s3://b/k (input a)", ASKED[one.service][1]
    found, wanted = translate(raised, where, action), expected(one)
    assert type(found) is wanted.kind
    assert decide(found, Rules()).reason == wanted.verdict
    message = one.error.get("Message", "")
    key = next((word.strip("'.,") for word in message.split() if "key-" in word or ":kms:" in word), where)
    for word in wanted.words:
        assert word.format(action=action, where=where, key=key) in found.hint


def test_every_recorded_code_is_in_the_oracle():
    """All 328 recordings are looked at, and the oracle has no line for what nobody recorded."""
    known = recorded()
    assert len(known) == 328
    assert {(one.service, one.error["Code"]) for one in known} >= set(CODES)


# the error shapes of our calls

CALLS = {
    "s3": "GetObject HeadBucket ListObjectsV2",
    "sqs": "ReceiveMessage DeleteMessageBatch ChangeMessageVisibilityBatch GetQueueUrl GetQueueAttributes",
    "logs": "FilterLogEvents DescribeLogGroups StartQuery GetQueryResults",
    "cloudwatch": "GetMetricData GetMetricStatistics ListMetrics",
    "sts": "AssumeRole GetCallerIdentity AssumeRoleWithWebIdentity",
    "cloudtrail": "LookupEvents",
    "guardduty": "ListDetectors ListFindings GetFindings",
    "iam": "SimulatePrincipalPolicy",
}
"""What the collector, its check and botocore's own credential providers call."""

_MODELS = {"logs": "cloudwatch-logs"}
"""botocore's name of a service → the one of error_codes.json."""

OUTCOMES: dict[type[errors.SourceError], str] = {
    errors.Denied: """KmsAccessDenied KmsDisabled KmsInvalidKeyUsage KmsInvalidState KmsNotFound
        KmsOptInRequired OperationNotPermittedException""",
    errors.BadCredentials: "IDPRejectedClaimException InvalidIdentityTokenException",
    errors.RegionDisabled: "RegionDisabledException",
    errors.ExpiredCredentials: "ExpiredTokenException",
    errors.Throttled: "KmsThrottled LimitExceededException OverLimit RequestThrottled",
    errors.Transient: """IDPCommunicationErrorException InternalServerErrorException InternalServiceFault
        PolicyEvaluationException ServiceUnavailableException""",
    errors.Missing: """InvalidAddress NoSuchBucket NoSuchEntityException QueueDoesNotExist
        ResourceNotFoundException""",
    errors.ObjectGone: "NoSuchKey",
    errors.ObjectArchived: "InvalidObjectState",
    errors.SourceError: """BadRequestException BatchEntryIdsNotDistinct EmptyBatchRequest InvalidAttributeName
        InvalidBatchEntryId InvalidEventCategoryException InvalidInputException
        InvalidLookupAttributesException InvalidMaxResultsException InvalidNextToken InvalidNextTokenException
        InvalidParameterCombinationException InvalidParameterException InvalidParameterValueException
        InvalidSecurity InvalidTimeRangeException
        MalformedPolicyDocumentException MalformedQueryException
        MissingRequiredParameterException PackedPolicyTooLargeException TooManyEntriesInBatchRequest
        UnsupportedOperation UnsupportedOperationException""",
}
"""What comes of each error shape that botocore's models give to our calls."""

KINDS = {shape: kind for kind, shapes in OUTCOMES.items() for shape in shapes.split()}


def shapes() -> dict[tuple[str, str], tuple[set[str], int]]:
    """Return (service, shape) → what botocore may tell as its code, and the HTTP status."""
    session, found = Session(), {}
    listed = json.loads((RECORDINGS / "error_codes.json").read_text())
    for service, operations in CALLS.items():
        model = session.get_service_model(service)
        compatible = "awsQueryCompatible" in model.metadata  # then the query protocol's code stands beside
        for operation in operations.split():
            for shape in model.operation_model(operation).error_shapes:
                own = shape.metadata.get("error", {})
                known = listed.get(f"{_MODELS.get(service, service)}/{shape.name}", {})
                code = known.get("query_code") or own.get("code") or shape.name
                names = {code} if model.resolved_protocol == "query" else {shape.name}
                status = known.get("status") or own.get("httpStatusCode") or 400
                found[service, shape.name] = names | ({code} if compatible else set()), status
    return found


def test_every_error_shape_of_our_calls_has_an_outcome():
    """A shape that a new botocore brings fails here until somebody says what comes of it."""
    found = shapes()
    assert {shape for _, shape in found} == set(KINDS)
    for (service, shape), (names, status) in found.items():
        assert {kind_of(name, status) for name in names} == {KINDS[shape]}, f"{service}: {names}"


def test_every_call_of_the_catalogue_is_looked_at():
    """A service that calls something new brings its error shapes into the table above."""
    called = {action for one in CATALOGUE for action in one.actions}
    named = {f"{service}:{operation}" for service, names in CALLS.items() for operation in names.split()}
    single = {action for action in called if action.startswith("sqs:")} - named
    assert {f"{action}Batch" for action in single} <= named
    assert called - single - {"s3:GetObjectVersion", "kms:Decrypt"} <= named
