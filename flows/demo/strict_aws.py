"""AWS's rules, applied by a proxy: which permission a request needs, and what AWS answers where it lacks.

Requests pass it unchanged, Host included, so the embedded AWS behind it still checks their signatures. Each
rule is documented, recorded, or both: tests/fakes/README.md has the list. More are in its strict_rules.py.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from msgspec import Struct

from flows.demo.wire import Reply, WireRequest, caller, error_reply, operation, serving

_SECONDS = 60.0
_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_FOUND, _ABSENT = frozenset({200, 206}), 404

_BATCHES = {
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "SendMessageBatch": "SendMessage",
}
"""IAM has one action for a call and for its batch."""

_SQS_CODES = {"KmsDisabled": "KMS.DisabledException", "KmsInvalidState": "KMS.InvalidStateException"}
_SQS_CODES |= {"KmsNotFound": "KMS.NotFoundException", "KmsAccessDenied": "KMS.AccessDeniedException"}
"""SQS's code → the query protocol's, where they differ."""


class Person(Struct, frozen=True):
    """Who signs with a key: an ARN, and the policy document that is attached to it."""

    arn: str
    document: dict[str, Any]

    @property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]


class Need(Struct, frozen=True):
    """A permission that a request needs. spelled: the action as the service tells it in a refusal."""

    action: str
    resource: str
    region: str = ""
    spelled: str = ""


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


def judged(came: WireRequest) -> JudgedRequest | None:
    """Return a request as the rules see it, None for one that nobody signed."""
    headers = came.small
    who = caller(headers.get("authorization", ""))
    if who is None:
        return None
    op = operation(came.method, came.target, headers, came.body)
    return JudgedRequest(came.method, came.target, headers, came.body, op, who.key, who.region)


class StrictRules:
    """Judges requests. Thread-safe as far as it is asked; people and keys are changed between requests.

    people: by access key; other keys are let through. queue_keys: queue's name → ARN of its KMS key.
    refused: (action, resource), in order.
    """

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.queue_keys: dict[str, str] = {}
        self.refused: list[tuple[str, str]] = []
        self.allowed: set[str] = set()
        self._lock = threading.Lock()

    def before(self, request: JudgedRequest, person: Person) -> Reply | None:
        """Return what AWS answers without looking at the object or queue itself, None to go on."""
        for need in needs(request, person):
            if not self._noted(request, person, need):
                return self.denied(request, person, need)
        if request.op == "sqs.ReceiveMessage":
            return self.decrypts(request, person, self.queue_keys.get(_queue(request), ""))
        return None

    def after(
        self, request: JudgedRequest, person: Person, status: int, headers: Mapping[str, str]
    ) -> Reply | None:
        """Return what AWS answers in place of a reply of the embedded one, None to let that through."""
        if request.op not in {"s3.GetObject", "s3.HeadObject"}:
            return None
        if status == _ABSENT:  # which it tells to who may list only
            need = Need("s3:ListBucket", f"arn:aws:s3:::{request.path[0]}", request.region)
            return None if self.allows(request, person, need) else self.denied(request, person, need)
        if status not in _FOUND:
            return None
        return self.readable(request, headers) or self.decrypts(request, person, headers.get(_KMS_KEY, ""))

    def readable(self, _request: JudgedRequest, _headers: Mapping[str, str]) -> Reply | None:
        """Return what S3 says of an object that no permission makes readable."""
        return None

    def allows(self, _request: JudgedRequest, person: Person, need: Need) -> bool:
        """Tell whether the policies allow it."""
        return decision(person, need, person.document) == "Allow"

    def decrypts(self, request: JudgedRequest, person: Person, key: str) -> Reply | None:
        """Return what comes of a KMS key that is needed to decrypt, None if it does so. key: "" = none."""
        need = Need("kms:Decrypt", key, request.region)
        if not key or self._noted(request, person, need):
            return None
        if request.service == "sqs":
            text = f"User: {person.arn} is not authorized to perform: kms:Decrypt on resource: {key}"
            return sqs_error(400, "KmsAccessDenied", text)
        return self.denied(request, person, need)

    def denied(self, request: JudgedRequest, person: Person, need: Need) -> Reply:
        """Return how the service refuses."""
        action = need.spelled or need.action
        resource = f'"{need.resource}"' if request.service == "s3" else need.resource
        asked = f"perform: {action} on resource: {resource}"
        text = f"User: {person.arn} is not authorized to {asked} {self.why(person, need)}"
        match request.service:
            case "s3":
                return error_reply("s3", 403, "AccessDenied", escape(text))
            case "sqs":
                return sqs_error(403, "AccessDenied", text)
        status = 403 if request.service == "guardduty" else 400
        return error_reply(request.service, status, "AccessDeniedException", text)

    def why(self, person: Person, need: Need) -> str:
        """Return how a refusal ends: which policy does not allow it."""
        if decision(person, need, person.document) == "Deny":
            return "with an explicit deny in an identity-based policy"
        return f"because no identity-based policy allows the {need.spelled or need.action} action"

    def _noted(self, request: JudgedRequest, person: Person, need: Need) -> bool:
        """Tell whether it is allowed, and note that it was asked for."""
        allowed = self.allows(request, person, need)
        with self._lock:
            if allowed:
                self.allowed.add(need.action)
            else:
                self.refused.append((need.action, need.resource))
        return allowed


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
        case "logs" if name in {"FilterLogEvents", "StartQuery"}:
            said = request.said
            told = (
                said.get("logGroupName") or said.get("logGroupIdentifier") or said["logGroupIdentifiers"][0]
            )
            group = told.split(":log-group:")[-1]
            yield Need(f"logs:{name}", f"{prefix}:log-group:{group}:log-stream:", request.region)
        case "guardduty" if name != "ListDetectors":
            detector = urlsplit(request.target).path.split("/")[2]
            yield Need(f"guardduty:{name}", f"{prefix}:detector/{detector}", request.region)
        case "cloudtrail" | "cloudwatch" | "guardduty" | "logs":
            yield Need(request.op.replace(".", ":"), "*", request.region)


def _queue(request: JudgedRequest) -> str:
    said = request.said
    return str(said.get("QueueName") or said.get("QueueUrl", "").rpartition("/")[2])


def decision(person: Person, need: Need, document: Mapping[str, Any]) -> str:
    """Return `Allow`, `Deny` (explicit) or `ImplicitDeny`."""
    context = EvalContext(person.arn, "User", person.account, need.action, need.resource, need.region)
    return str(evaluate(context, [parse_policy_document(document)]).decision)


def sqs_error(status: int, code: str, text: str) -> Reply:
    """Return an error as SQS answers it, with the query protocol's code beside its own."""
    head = (
        ("Content-Type", "application/x-amz-json-1.0"),
        ("x-amzn-query-error", f"{_SQS_CODES.get(code, code)};Sender"),
    )
    return Reply(status, head, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": text}).encode())


def strict_proxy(upstream: str, rules: StrictRules) -> AbstractContextManager[str]:
    """Serve until the block ends; yields the URL to ask instead of `upstream`."""
    host = urlsplit(upstream).netloc

    def answer(came: WireRequest) -> Reply:
        request = judged(came)
        person = rules.people.get(request.key) if request else None
        if request is None or person is None:
            return _forwarded(host, came)
        if refusal := rules.before(request, person):
            return refusal
        reply = _forwarded(host, came)
        told = {name.lower(): value for name, value in reply.headers}
        return rules.after(request, person, reply.status, told) or reply

    return serving(answer)


def _forwarded(host: str, came: WireRequest) -> Reply:
    with closing(HTTPConnection(host, timeout=_SECONDS)) as connection:
        connection.putrequest(came.method, came.target, skip_host=True, skip_accept_encoding=True)
        for name, value in came.headers:
            connection.putheader(name, value)
        connection.endheaders(came.body)
        found = connection.getresponse()
        return Reply(found.status, tuple(found.getheaders()), found.read())
