"""What can go wrong on the AWS side; foreign errors become one of these at the border.

SourceError                 anything below; raised itself only for requests that AWS calls wrong
├── Transient               resets, timeouts, 5xx, hollow replies: the same call again, with jitter
│   └── Throttled           the same call again, slower
├── Denied                  a permission or a KMS key: keep the message, back off, say which
│   └── BadCredentials      wrong key, role not assumable, clock askew: nothing will work until repaired
├── ExpiredCredentials      session ended; `aws.Account` has renewed it once already
├── Missing                 queue, bucket, log group or detector does not exist (here)
├── ReceiptHandleInvalid    SQS no longer knows this handle: the message is somebody else's now
└── ObjectError             one S3 object
    ├── ObjectBusy          another lease of this process reads it at the moment
    ├── ObjectGone          deleted before it was read
    ├── ObjectChanged       overwritten while it was read
    ├── ObjectArchived      in Glacier: readable only after a restore
    └── ObjectBroken        bytes that are not what they should be
        └── ObjectTooLarge  inflates beyond the limits
"""

import re
import ssl
from typing import Any, Self
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from transforms.errors import CollectorError


class SourceError(CollectorError):
    """An AWS call or what it returned cannot be used.

    cause: what it shares with the failures of other targets (an identity, a permission), "" = nothing:
    what has one cause is told once.
    """

    family = "api"

    def __init__(self, what: str, where: str, hint: str, *, cause: str = "") -> None:
        super().__init__(what, where, hint)
        self.cause = cause

    def again(self) -> Self:
        """Return the same error to be raised anew: a raised one keeps its traceback."""
        return type(self)(self.what, self.where, self.hint, cause=self.cause)


class Transient(SourceError):
    """Expected to work when tried again."""


class Throttled(Transient):
    """AWS asks for fewer requests."""


class Denied(SourceError):
    """A permission is missing."""


class BadCredentials(Denied):
    """AWS does not know who calls, or a role cannot be assumed."""


class ExpiredCredentials(SourceError):
    """The session has ended and renewing it did not help."""


class Missing(SourceError):
    """What the configuration or a notice names does not exist."""


class ReceiptHandleInvalid(SourceError):
    """The lease on a queue message is over: neither extend nor delete it."""


class ObjectError(SourceError):
    """One S3 object cannot be collected."""

    family = "pull"


class ObjectBusy(ObjectError):
    """The object is being collected already: this is a repeat of its notice."""


class ObjectGone(ObjectError):
    """The object was deleted before it could be read."""


class ObjectChanged(ObjectError):
    """The object was overwritten while it was being read."""


class ObjectArchived(ObjectError):
    """The object is in an archive storage class."""


class ObjectBroken(ObjectError):
    """The object's content cannot be cut into events (beyond those already emitted).

    reason: stable snake_case code for quarantine and metrics. record: number of events emitted before.
    """

    def __init__(
        self, what: str, where: str, hint: str, *, reason: str = "object_broken", record: int = 0
    ) -> None:
        super().__init__(what, where, hint)
        self.reason, self.record = reason, record


class ObjectTooLarge(ObjectBroken):
    """The object inflates beyond the configured limits."""


_CODES: dict[type[SourceError], str] = {
    Throttled: """
        Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException SlowDown
        TooManyRequestsException RequestLimitExceeded LimitExceededException BandwidthLimitExceeded OverLimit
        ProvisionedThroughputExceededException TransactionInProgressException PriorRequestNotComplete
        EC2ThrottledException""",
    Transient: """
        InternalError InternalFailure InternalServerError InternalServerException InternalServiceError
        InternalServiceException ServiceUnavailable ServiceUnavailableException RequestTimeout
        RequestTimeoutException OperationAborted""",
    Denied: """
        AccessDenied AccessDeniedException UnauthorizedOperation AuthorizationError UnauthorizedException
        AuthorizationErrorException AllAccessDisabled AccountProblem OptInRequired
        SubscriptionRequiredException""",
    BadCredentials: """
        InvalidAccessKeyId InvalidClientTokenId InvalidToken UnrecognizedClientException AuthFailure
        SignatureDoesNotMatch InvalidSignatureException IncompleteSignature MissingAuthenticationToken
        MissingAuthenticationTokenException NotAuthorized RequestTimeTooSkewed RequestInTheFuture""",
    ExpiredCredentials: "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    Missing: """
        QueueDoesNotExist NonExistentQueue QueueDeletedRecently ResourceNotFoundException ResourceNotFound
        NoSuchBucket PermanentRedirect TemporaryRedirect IllegalLocationConstraintException""",
    ReceiptHandleInvalid: "ReceiptHandleIsInvalid MessageNotInflight InvalidIdFormat",
    ObjectGone: "NoSuchKey NoSuchVersion MethodNotAllowed",
    ObjectChanged: "PreconditionFailed InvalidRange",
    ObjectArchived: "InvalidObjectState",
}
_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

_BY_STATUS: dict[int, type[SourceError]] = {
    403: Denied,
    404: Missing,
    412: ObjectChanged,
    416: ObjectChanged,
    429: Throttled,
}

IDENTITY = "CollectorIdentity"
"""In a refusal's ResponseMetadata: what `aws.Account` notes of whose identity was refused."""

_SERVER_ERROR = 500
_LONGEST = 500
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_OBJECT_READS = frozenset({"GetObject", "HeadObject"})

_HINTS: dict[type[SourceError], str] = {
    SourceError: "AWS calls the request wrong; compare the configuration with what it says",
    Transient: "it is tried again",
    Throttled: "it is tried again more slowly; lower requests_per_second if it goes on",
    BadCredentials: "check inputs.<name>.credentials and the clock of this machine",
    ExpiredCredentials: "renewing did not help; check this machine's clock, or give new credentials",
    Missing: "create it, or correct its name, account or region",
    ReceiptHandleInvalid: "the message comes again by itself; raise visibility_timeout_seconds if it goes on",
    ObjectGone: "a lifecycle rule or a person deleted it; see object_gone",
    ObjectChanged: "it is read again from the start",
    ObjectArchived: "restore it from its archive, or let the lifecycle rule archive it later",
}

_LOST = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.MetadataRetrievalError,
    ResponseParserError,
    HTTPError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)

_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
)

_LONGEST_MESSAGE = 2000
_REFUSAL = re.compile(
    r"(?P<principal>arn:\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on resource: \"?(?P<resource>arn:[^\s\"]+))?"
)


def translate(error: Exception, where: str, action: str = "") -> SourceError:
    """Return the error of this tree for one of botocore's, to be raised `from` it.

    where: what was asked, for the message: a queue, a log group, `s3://bucket/key`, with `Account.where`.
    action: the IAM action behind the call, e.g. `s3:GetObject`, for the hint of a `Denied`.
    """
    if isinstance(error, SourceError):
        return error
    if isinstance(error, boto.ClientError):
        return _of_reply(error, where, action)
    if isinstance(error, _NO_CREDENTIALS):
        return BadCredentials(_line(str(error)), where, "give credentials, or run on a machine with a role")
    if isinstance(error, _LOST):
        return Transient(_line(_lost(error)), where, _lost_hint(error))
    return SourceError(_line(f"{type(error).__name__} {error}"), where, _HINTS[SourceError])


def kind_of(code: str, status: int = 0, message: str = "") -> type[SourceError]:
    """Return the class for an AWS error code, also one in the `Failed` list of a 200 reply.

    Prefixes such as `AWS.SimpleQueueService.` are ignored. status: HTTP, decides when the code is unknown.
    """
    if code.upper().startswith("KMS"):
        return Throttled if "Throttl" in code else Denied
    if code == "InvalidParameterValue" and "ReceiptHandle" in message:
        return ReceiptHandleInvalid
    found = _BY_CODE.get(code.rpartition(".")[2]) or _BY_STATUS.get(status)
    return found or (Transient if status >= _SERVER_ERROR else SourceError)


def _of_reply(error: boto.ClientError, where: str, action: str) -> SourceError:
    told: dict[str, Any] = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), _harmless(str(told.get("Message", "")))
    about: dict[str, Any] = error.response.get("ResponseMetadata", {})
    kind = kind_of(code, about.get("HTTPStatusCode", 0), message)
    refused = _REFUSAL.search(message)
    if error.operation_name in _OBJECT_READS and (code in _NOT_FOUND or _is_hidden(refused)):
        kind = ObjectGone
    what = _line(f"{error.operation_name} failed with {code}{f' ({message})' if message else ''}")
    identity = about.get(IDENTITY, "")
    if issubclass(kind, BadCredentials | ExpiredCredentials):
        return kind(what, identity or where, _HINTS[kind], cause=identity)
    if kind is not Denied:
        return kind(what, where, _HINTS[kind])
    cause = f"{_allowed(refused, action)} for {(refused and refused['principal']) or identity or where}"
    return Denied(what, where, _denied_hint(refused, where, action), cause=cause)


def _harmless(message: str) -> str:
    """Return what AWS says without the request that it repeats: a session's token is in that."""
    return message.partition("The Canonical String")[0].strip()[:_LONGEST_MESSAGE]


def _is_hidden(refused: re.Match[str] | None) -> bool:
    """Tell an absent object of which S3, without ListBucket, only says "not authorized to list"."""
    return refused is not None and refused["action"] in ("s3:ListBucket", "s3:ListBucketVersions")


_ALSO = {
    "s3:GetObject": ", and kms:Decrypt if its key is in KMS",
    "s3:GetObjectVersion": ", and s3:GetObject, and kms:Decrypt if its key is in KMS",
}
"""What the hint names beside the action that was refused."""


def _denied_hint(refused: re.Match[str] | None, where: str, action: str) -> str:
    allowed = _allowed(refused, action)
    principal = (refused and refused["principal"]) or "the collector's identity"
    resource = (refused and refused["resource"]) or where
    also = _ALSO.get(allowed, "")
    if also and refused is None:  # as from another account's bucket
        also += "; AWS says the same of an object that is not there, to who may not s3:ListBucket"
    return f"allow {allowed} for {principal} on {resource}{also}"


def _allowed(refused: re.Match[str] | None, action: str) -> str:
    return (refused and refused["action"]) or action or "the call"


def _lost(error: Exception) -> str:
    """Return what became of the connection; who cannot be reached is named, without the path."""
    url = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    host = url.netloc.rpartition("@")[2]  # a password may stand before it
    to = f" to {url.scheme}://{host}" if host else ""
    return f"connection{to} lost ({type(error).__name__})"


def _lost_hint(error: Exception) -> str:
    if isinstance(error, boto.SSLError | ssl.SSLError):
        return "check AWS_CA_BUNDLE and any proxy that opens TLS"
    if isinstance(error, boto.EndpointConnectionError | boto.ProxyConnectionError):
        return "check the region's name, the network, AWS_ENDPOINT_URL and HTTPS_PROXY; it is tried again"
    return _HINTS[Transient]


def _line(text: str) -> str:
    """Return text as one line of bounded length: messages are one line each."""
    return " ".join(text.split())[:_LONGEST]
