"""What can go wrong on the AWS side; foreign errors become one of these at the border.

SourceError                 anything below; raised itself only for requests that AWS calls wrong
├── Transient               resets, timeouts, 5xx, hollow replies: the same call again, with jitter
│   └── Throttled           the same call again, slower
├── Denied                  a permission or a KMS key: keep the message, back off, say which
│   ├── BadCredentials      wrong key, role not assumable, clock askew: nothing will work until repaired
│   │   └── IdentityAbsent  this machine gives no credentials at present: they may come late
│   └── RegionDisabled      the region, or STS in it, is not switched on in the account
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

import ssl
from datetime import UTC, datetime
from typing import Any, Self

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from msgspec import Struct
from msgspec.structs import replace
from urllib3.exceptions import HTTPError

from sources.lost_connection import cure_of_loss, what_was_lost
from sources.refusals import (
    CODE_HINTS,
    UNREADABLE,
    AccessDenial,
    also_lacking,
    clock_skew,
    key_trouble,
    read,
    region_remedy,
    remedy,
    spelled,
)
from transforms.errors import CollectorError


class SourceError(CollectorError):
    """An AWS call or what it returned cannot be used.

    cause: what it shares with the failures of other targets (an identity, a permission), "" = nothing:
    what has one cause is logged once.
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


class SlowBody(Transient):
    """One object's bytes come too slowly, from a bucket that answers."""


class Throttled(Transient):
    """AWS asks for fewer requests."""


class Denied(SourceError):
    """A permission is missing."""


class BadCredentials(Denied):
    """AWS does not know who calls, or a role cannot be assumed."""


class IdentityAbsent(BadCredentials):
    """This machine, its container or its files give no credentials at present; they may come."""


class RegionDisabled(Denied):
    """The region is not switched on in the account, or STS is not in it."""


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
        PurgeQueueInProgress
        EC2ThrottledException""",
    Transient: """
        InternalError InternalFailure InternalServerError InternalServerException InternalServiceError
        InternalServiceException ServiceUnavailable ServiceUnavailableException RequestTimeout
        RequestTimeoutException OperationAborted InternalServiceFault IDPCommunicationError""",
    Denied: """
        AccessDenied AccessDeniedException UnauthorizedOperation AuthorizationError UnauthorizedException
        AuthorizationErrorException AllAccessDisabled AccountProblem OperationNotPermittedException""",
    RegionDisabled: "RegionDisabledException OptInRequired SubscriptionRequiredException NotSignedUp",
    BadCredentials: """
        InvalidAccessKeyId InvalidClientTokenId InvalidToken UnrecognizedClientException AuthFailure
        SignatureDoesNotMatch InvalidSignatureException IncompleteSignature MissingAuthenticationToken
        MissingAuthenticationTokenException NotAuthorized RequestTimeTooSkewed RequestInTheFuture
        InvalidIdentityToken IDPRejectedClaim""",
    ExpiredCredentials: "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    Missing: """
        QueueDoesNotExist NonExistentQueue QueueDeletedRecently ResourceNotFoundException ResourceNotFound
        NoSuchBucket NoSuchAccessPoint PermanentRedirect TemporaryRedirect InvalidAddress
        IllegalLocationConstraintException AuthorizationHeaderMalformed ParentNotFoundException
        AWSOrganizationsNotInUseException""",
    SourceError: "InvalidSecurity NotImplemented",
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

REGION = "CollectorRegion"
"""There as well: the region that refuses somebody whom AWS knows elsewhere."""

_REFUSED_SECONDS = 300
"""AWS refuses signatures that are five minutes off."""

_SERVER_ERROR = 500
_LONGEST = 500
_NOT_FOUND = frozenset({"404", "405", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed"})
_OBJECT_READS = frozenset({"GetObject", "HeadObject"})
_LISTING = frozenset({"s3:ListBucket", "s3:ListBucketVersions"})
"""Of an absent object S3 says to who may not list only that: it is "not authorized to list"."""

_UNKNOWN_KEYS = frozenset(
    {
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "UnrecognizedClientException",
        "AuthFailure",
    }
)
"""Said of keys that are wrong and of keys that are right in a region that is not switched on."""

_KEY_KINDS: dict[str, type[SourceError]] = {
    "throttled": Throttled,
    "keyunavailable": Transient,
}
_HINTS: dict[type[SourceError], str] = {
    SourceError: "AWS calls the request wrong; compare the configuration with what it says",
    Transient: "it is tried again",
    Throttled: "it is tried again more slowly; lower requests_per_second if it goes on",
    BadCredentials: "check inputs.<name>.credentials and the clock of this machine",
    IdentityAbsent: "give credentials, or run on a machine with a role; it is asked again for ever",
    RegionDisabled: "switch it on in the account, or take it out of regions",
    ExpiredCredentials: "renewing did not help; check this machine's clock, or give new credentials",
    Missing: "create it, or correct its name, account or region",
    ReceiptHandleInvalid: "the message comes again by itself; raise visibility_timeout_seconds if it goes on",
    ObjectGone: "a lifecycle rule or a person deleted it; see object_gone",
    ObjectChanged: "it is read again from the start",
    ObjectArchived: "restore it from its archive, or let the lifecycle rule archive it later",
}

_UNASKED = "look at what it names, in the environment (AWS_…) and in ~/.aws; it is tried again"
"""Of botocore, which could not even ask."""

_UNFORESEEN = "something is in no form that is documented, or this is a fault of the collector: report it"

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
        return IdentityAbsent(_line(str(error)), where, _HINTS[IdentityAbsent], cause=where)
    if isinstance(error, _LOST):
        return Transient(_line(what_was_lost(error)), where, cure_of_loss(error) or _HINTS[Transient])
    hint = _UNASKED if isinstance(error, boto.BotoCoreError) else _UNFORESEEN
    return SourceError(_line(f"{type(error).__name__} {error}"), where, hint)


def kind_of(code: str, status: int = 0, message: str = "") -> type[SourceError]:
    """Return the class for an AWS error code, also one in the `Failed` list of a 200 reply.

    Prefixes such as `AWS.SimpleQueueService.` are ignored. status: HTTP, decides when the code is unknown.
    """
    if trouble := key_trouble(code, message):
        return _KEY_KINDS.get(trouble.state, Transient if status >= _SERVER_ERROR else Denied)
    if code == "InvalidParameterValue" and "ReceiptHandle" in message:
        return ReceiptHandleInvalid
    found = _BY_CODE.get(code.rpartition(".")[2]) or _BY_STATUS.get(status)
    return found or (Transient if status >= _SERVER_ERROR else SourceError)


class _Reply(Struct, frozen=True):
    """An error as AWS answered it. action, where: what was asked. about: botocore's ResponseMetadata."""

    operation: str
    code: str
    message: str
    about: dict[str, Any]
    action: str
    where: str

    @property
    def what(self) -> str:
        """What happened, as one line."""
        said = f" ({self.message})" if self.message else ""
        return _line(f"{self.operation} failed with {self.code}{said}")

    @property
    def identity(self) -> str:
        """Whose identity was refused, "" when nobody noted it."""
        return str(self.about.get(IDENTITY, ""))

    @property
    def clock_hint(self) -> str:
        """What to do about this machine's clock, "" when AWS tells the same time."""
        skew = clock_skew({"ResponseMetadata": self.about}, datetime.now(UTC)) or 0
        way = "ahead of" if skew > 0 else "behind"
        wrong = abs(skew) >= _REFUSED_SECONDS
        return f"set this machine's clock: it is {abs(skew):.0f} s {way} AWS's" if wrong else ""


def _of_reply(error: boto.ClientError, where: str, action: str) -> SourceError:
    told: dict[str, Any] = error.response.get("Error", {})
    message = _harmless(str(told.get("Message", "")))
    about = error.response.get("ResponseMetadata", {})
    reply = _Reply(error.operation_name, str(told.get("Code", "")), message, about, action, where)
    kind = kind_of(reply.code, about.get("HTTPStatusCode", 0), message)
    refused = read(message)
    if error.operation_name in _OBJECT_READS:
        for code, part, reason, hint in UNREADABLE:
            if code == reply.code and part in message:
                return ObjectBroken(reply.what, where, hint, reason=reason)
        if reply.code in _NOT_FOUND or (refused and refused.action in _LISTING):
            kind = ObjectGone
    if kind in {BadCredentials, RegionDisabled}:
        return _unknown_here(reply, kind)
    if kind is ExpiredCredentials:
        hint = reply.clock_hint or _HINTS[kind]
        return kind(reply.what, reply.identity or where, hint, cause=reply.identity)
    trouble = key_trouble(reply.code, message)
    if trouble and not (kind is Denied and refused and refused.action):  # else IAM's own words tell more
        cause = f"KMS key {trouble.key or where}: {trouble.state}"
        hint = trouble.remedy(message, where)
        return kind(reply.what, where, hint, cause=cause if kind is Denied else "")
    if kind is Denied:
        return _denied(reply, refused or AccessDenial())
    return kind(reply.what, where, CODE_HINTS.get(reply.code) or _HINTS[kind])


def _unknown_here(reply: _Reply, kind: type[SourceError]) -> SourceError:
    """Return the error of an identity that is not known where it asked; elsewhere it may well be."""
    region = str(reply.about.get(REGION, ""))
    known_elsewhere = bool(region) and reply.code in _UNKNOWN_KEYS
    if kind is RegionDisabled or known_elsewhere:
        hint = region_remedy(reply.code, region, key=known_elsewhere)
        return RegionDisabled(
            reply.what, reply.where, hint, cause=f"{region or reply.where} for {reply.identity}"
        )
    hint = reply.clock_hint or CODE_HINTS.get(reply.code, _HINTS[kind])
    return kind(reply.what, reply.identity or reply.where, hint, cause=reply.identity)


def _harmless(message: str) -> str:
    """Return what AWS says without the request that it repeats: a session's token is in that."""
    return message.partition("The Canonical String")[0].strip()[:_LONGEST_MESSAGE]


def _denied(reply: _Reply, refused: AccessDenial) -> Denied:
    action = spelled(refused.action, reply.action, reply.operation) or "the call"
    who = refused.principal or reply.identity or reply.where
    parts = [f"{action} for {who}"]
    if action.startswith("kms:") and refused.resource:
        parts.append(f"on {refused.resource}")
    if refused.decided_by:
        parts.append(f"by {refused.decided_by}")
    hint = CODE_HINTS.get(reply.code) or remedy(
        replace(refused, action=action), action, "the collector's identity", reply.where
    )
    if refused.ordinary:
        hint += also_lacking(action, bare=not refused.principal)
    return Denied(reply.what, reply.where, hint, cause=" ".join(parts))


def _line(text: str) -> str:
    """Return text as one line of bounded length: messages are one line each."""
    return " ".join(text.split())[:_LONGEST]
