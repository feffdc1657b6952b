"""AWS's rules: which permission a request needs, and what AWS answers where it lacks or the state forbids.

Each rule is documented, recorded, or both; tests/fakes/README.md has the list.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from msgspec import Struct

from flows.demo.strict_aws.state import KeyState, Need, Person, StrictBucket, StrictState
from flows.demo.wire import Reply, WireRequest, caller, error_reply, operation

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_CUSTOMER_KEY = "x-amz-server-side-encryption-customer-algorithm"
_PAYER = "x-amz-request-payer"

_BATCHES = {
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "SendMessageBatch": "SendMessage",
}
"""IAM has one action for a call and for its batch."""

_KEY_WORDS = {
    KeyState.DISABLED: ("DisabledException", "KmsDisabled", "{key} is disabled."),
    KeyState.PENDING_DELETION: ("KMSInvalidStateException", "KmsInvalidState", "{key} is pending deletion."),
    KeyState.PENDING_IMPORT: ("KMSInvalidStateException", "KmsInvalidState", "{key} is pending import."),
    KeyState.ABSENT: ("NotFoundException", "KmsNotFound", "Key '{key}' does not exist"),
}
"""A key's state → S3's code behind `KMS.`, SQS's code, the text."""

_SQS_LEGACY = {
    "KmsDisabled": "KMS.DisabledException",
    "KmsInvalidState": "KMS.InvalidStateException",
    "KmsNotFound": "KMS.NotFoundException",
    "KmsAccessDenied": "KMS.AccessDeniedException",
}

_REDIRECTS = {
    301: ("PermanentRedirect", "The bucket you are attempting to access must be addressed elsewhere."),
    307: ("TemporaryRedirect", "Please re-send this request to the specified temporary endpoint."),
    400: (
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region '{asked}' is wrong; expecting '{region}'",
    ),
}
"""How S3 tells that a bucket is elsewhere: status → code and text."""

_FOUND, _ABSENT = frozenset({200, 206}), 404


class JudgedRequest(Struct, frozen=True):
    """A request as the rules see it. op: `service.Operation`. headers: names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    op: str
    key: str
    region: str

    @property
    def service(self) -> str:
        """boto3's name of the service."""
        return self.op.partition(".")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the URL."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def path(self) -> tuple[str, str]:
        """Bucket and key of an S3 request in path style."""
        bucket, _, key = urlsplit(self.target).path.removeprefix("/").partition("/")
        return unquote(bucket), unquote(key)

    @property
    def said(self) -> dict[str, Any]:
        """The members of a JSON request."""
        return dict(json.loads(self.body or b"{}"))


def asked(came: WireRequest) -> JudgedRequest | None:
    """Return a request as the rules see it, None for one that nobody signed."""
    headers = came.small
    who = caller(headers.get("authorization", ""))
    if who is None:
        return None
    op = operation(came.method, came.target, headers, came.body)
    return JudgedRequest(came.method, came.target, headers, came.body, op, who.key, who.region)


def before(state: StrictState, request: JudgedRequest) -> Reply | None:
    """Return what AWS answers without looking at the object or queue itself, None to go on."""
    person = state.people.get(request.key)
    if person is None:
        return None
    bucket = _bucket(state, request)
    if bucket and bucket.region and bucket.region != request.region:
        return _elsewhere(request, bucket)
    if bucket and bucket.requester_pays and _stranger(person, bucket) and _PAYER not in request.headers:
        return error_reply("s3", 403, "AccessDenied", "Access Denied")
    for need in needs(request, person):
        allowed = _allowed(person, need, bucket)
        state.note(need, allowed=allowed)
        if not allowed:
            return _denied(request, person, need, bare=bool(bucket and _stranger(person, bucket)))
    if request.op == "sqs.ReceiveMessage":
        return _of_key(state, request, person, state.queue_keys.get(_queue(request), ""))
    return None


def after(
    state: StrictState, request: JudgedRequest, status: int, headers: Mapping[str, str]
) -> Reply | None:
    """Return what AWS answers in place of a reply of the embedded one, None to let that through."""
    person = state.people.get(request.key)
    if person is None or request.op not in {"s3.GetObject", "s3.HeadObject"}:
        return None
    if status == _ABSENT:
        return _absent(state, request, person)
    if status not in _FOUND:
        return None
    return _unreadable(state, request, headers) or _of_key(state, request, person, headers.get(_KMS_KEY, ""))


def _absent(state: StrictState, request: JudgedRequest, person: Person) -> Reply | None:
    """Return what S3 says of an absent object to who may not list its bucket, None to who may."""
    bucket = _bucket(state, request)
    need = Need("s3:ListBucket", f"arn:aws:s3:::{request.path[0]}", request.region)
    if _allowed(person, need, bucket):
        return None
    return _denied(request, person, need, bare=bool(bucket and _stranger(person, bucket)))


def _unreadable(state: StrictState, request: JudgedRequest, headers: Mapping[str, str]) -> Reply | None:
    """Return what S3 says of an object that no permission makes readable."""
    if headers.get(_CUSTOMER_KEY) and _CUSTOMER_KEY not in request.headers:
        text = "The object was stored using a form of Server Side Encryption. The correct parameters must be "
        return error_reply("s3", 400, "InvalidRequest", f"{text}provided to retrieve the object.")
    storage = state.storage.get(request.path) or headers.get("x-amz-storage-class", "")
    if storage in ARCHIVED and request.op == "s3.GetObject":
        text = "The operation is not valid for the object's storage class"
        return error_reply("s3", 403, "InvalidObjectState", text)
    return None


def needs(request: JudgedRequest, person: Person) -> Iterator[Need]:
    """Yield the permissions that a request needs, as IAM's service authorization reference lists them."""
    service, _, name = request.op.partition(".")
    prefix = f"arn:aws:{service}:{request.region}:{person.account}"
    match service:
        case "s3":
            bucket, key = request.path
            action = {"ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket", "HeadObject": "GetObject"}
            action_name = action.get(name, name)
            if action_name == "GetObject" and request.query.get("versionId"):
                action_name = "GetObjectVersion"
            yield Need(
                f"s3:{action_name}", f"arn:aws:s3:::{bucket}{f'/{key}' if key else ''}", request.region
            )
        case "sqs":
            single = _BATCHES.get(name, name)
            yield Need(
                f"sqs:{single}", f"{prefix}:{_queue(request)}", request.region, f"sqs:{single.lower()}"
            )
        case "logs" if name == "DescribeLogGroups":
            yield Need("logs:DescribeLogGroups", f"{prefix}:log-group::log-stream:", request.region)
        case "logs" if name == "FilterLogEvents":
            said = request.said
            group = said.get("logGroupName") or said["logGroupIdentifier"].split(":log-group:")[-1]
            yield Need("logs:FilterLogEvents", f"{prefix}:log-group:{group}:log-stream:", request.region)
        case "guardduty" if name != "ListDetectors":
            detector = urlsplit(request.target).path.split("/")[2]
            yield Need(f"guardduty:{name}", f"{prefix}:detector/{detector}", request.region)
        case "cloudtrail" | "cloudwatch" | "guardduty" | "logs":
            yield Need(request.op.replace(".", ":"), "*", request.region)


def _queue(request: JudgedRequest) -> str:
    said = request.said
    return str(said.get("QueueName") or said.get("QueueUrl", "").rpartition("/")[2])


def _bucket(state: StrictState, request: JudgedRequest) -> StrictBucket | None:
    return state.buckets.get(request.path[0]) if request.service == "s3" else None


def _stranger(person: Person, bucket: StrictBucket) -> bool:
    return bucket.account not in {"", person.account}


def _allowed(person: Person, need: Need, bucket: StrictBucket | None) -> bool:
    """Tell whether the identity's policy allows it and, of another account's bucket, the bucket's as well."""
    documents = [person.document]
    if bucket and _stranger(person, bucket) and not need.action.startswith("kms:"):
        documents.append(bucket.policy or {"Version": "2012-10-17", "Statement": []})
    context = EvalContext(person.arn, "User", person.account, need.action, need.resource, need.region)
    return all(_decision(context, one) == "Allow" for one in documents)


def _decision(context: EvalContext, document: Mapping[str, Any]) -> str:
    """Return `Allow`, `Deny` (explicit) or `ImplicitDeny`."""
    return str(evaluate(context, [parse_policy_document(document)]).decision)


def _why(person: Person, need: Need, action: str) -> str:
    context = EvalContext(person.arn, "User", person.account, need.action, need.resource, need.region)
    if _decision(context, person.document) == "Deny":
        return "with an explicit deny in an identity-based policy"
    return f"because no identity-based policy allows the {action} action"


def _denied(request: JudgedRequest, person: Person, need: Need, *, bare: bool) -> Reply:
    action = need.spelled or need.action
    resource = f'"{need.resource}"' if request.service == "s3" else need.resource
    text = (
        f"User: {person.arn} is not authorized to perform: {action} on resource: {resource} "
        f"{_why(person, need, action)}"
    )
    if request.service == "s3":
        return error_reply("s3", 403, "AccessDenied", "Access Denied" if bare else escape(text))
    if request.service == "sqs":
        return _sqs_error(403, "AccessDenied", text)
    status = 403 if request.service == "guardduty" else 400
    return error_reply(request.service, status, "AccessDeniedException", text)


def _of_key(state: StrictState, request: JudgedRequest, person: Person, key: str) -> Reply | None:
    """Return what comes of a KMS key that is needed to decrypt, None if it does so. key: ARN, "" = none."""
    if not key:
        return None
    found = _KEY_WORDS.get(state.keys.get(key, KeyState.ENABLED))
    if found:
        of_s3, of_sqs, text = found
        told = text.format(key=key)
        if request.service == "sqs":
            return _sqs_error(400, of_sqs, told)
        return error_reply("s3", 400, f"KMS.{of_s3}", escape(told))
    need = Need("kms:Decrypt", key, request.region)
    allowed = _allowed(person, need, None)
    state.note(need, allowed=allowed)
    if allowed:
        return None
    if request.service == "sqs":
        text = f"User: {person.arn} is not authorized to perform: kms:Decrypt on resource: {key}"
        return _sqs_error(400, "KmsAccessDenied", text)
    return _denied(request, person, need, bare=False)


def _elsewhere(request: JudgedRequest, bucket: StrictBucket) -> Reply:
    """Return how S3 tells a bucket's region: a redirect, or a signature for the wrong region."""
    code, text = _REDIRECTS[bucket.redirect]
    text = text.format(asked=request.region, region=bucket.region)
    made = error_reply("s3", bucket.redirect, code, escape(text))
    body = made.body.replace(b"</Error>", f"<Region>{bucket.region}</Region></Error>".encode())
    return Reply(made.status, (*made.headers, ("x-amz-bucket-region", bucket.region)), body)


def _sqs_error(status: int, code: str, text: str) -> Reply:
    legacy = _SQS_LEGACY.get(code, code)
    head = (("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-query-error", f"{legacy};Sender"))
    return Reply(status, head, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": text}).encode())
