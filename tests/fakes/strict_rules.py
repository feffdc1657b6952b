"""The rules of AWS that the demo does not need: buckets elsewhere, states of keys, archives."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape

from msgspec import Struct

from flows.demo.strict_aws import JudgedRequest, Need, Person, StrictRules, decision, sqs_error
from flows.demo.wire import Reply, error_reply

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_CUSTOMER_KEY = "x-amz-server-side-encryption-customer-algorithm"
_CONTROL_POLICY = "arn:aws:organizations::111122223333:policy/o-1/service_control_policy/p-1"
_PAYER = "x-amz-request-payer"


class KeyState(StrEnum):
    """How a KMS key is; whatever is not enabled decrypts nothing."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"
    PENDING_IMPORT = "PendingImport"
    ABSENT = "absent"


_KEY_WORDS = {
    KeyState.DISABLED: ("DisabledException", "KmsDisabled", "{key} is disabled."),
    KeyState.PENDING_DELETION: ("KMSInvalidStateException", "KmsInvalidState", "{key} is pending deletion."),
    KeyState.PENDING_IMPORT: ("KMSInvalidStateException", "KmsInvalidState", "{key} is pending import."),
    KeyState.ABSENT: ("NotFoundException", "KmsNotFound", "Key '{key}' does not exist"),
}
"""A key's state → S3's code behind `KMS.`, SQS's code, the text."""

_REDIRECTS = {
    301: ("PermanentRedirect", "The bucket you are attempting to access must be addressed elsewhere."),
    307: ("TemporaryRedirect", "Please re-send this request to the specified temporary endpoint."),
    400: (
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region '{asked}' is wrong; expecting '{region}'",
    ),
}
"""How S3 tells that a bucket is elsewhere: status → code and text."""


class StrictBucket(Struct):
    """A bucket. region: "" = wherever it is asked. account: the owner's, "" = the asker's own.

    policy: a bucket policy, which must allow what another account asks. requester_pays: others must say that
    they pay. redirect: how a wrong region is told: 301, 307 or 400.
    """

    region: str = ""
    account: str = ""
    policy: dict[str, Any] | None = None
    requester_pays: bool = False
    redirect: int = 301


class WholeRules(StrictRules):
    """All of the rules.

    keys: KMS key's ARN → its state. storage: (bucket, key) → storage class. key_policies: KMS key's ARN → its
    policy, which must allow too. organization: a service control policy, which must as well; None = none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buckets: dict[str, StrictBucket] = {}
        self.keys: dict[str, KeyState] = {}
        self.storage: dict[tuple[str, str], str] = {}
        self.key_policies: dict[str, dict[str, Any]] = {}
        self.organization: dict[str, Any] | None = None

    def before(self, request: JudgedRequest, person: Person) -> Reply | None:
        """Tell where a bucket is, and who pays, before permissions are looked at."""
        bucket = self._bucket(request)
        if bucket and bucket.region and bucket.region != request.region:
            return _elsewhere(request, bucket)
        unpaid = bucket and bucket.requester_pays and _PAYER not in request.headers
        if unpaid and self._strange(request, person):
            return error_reply("s3", 403, "AccessDenied", "Access Denied")
        return super().before(request, person)

    def readable(self, request: JudgedRequest, headers: Mapping[str, str]) -> Reply | None:
        """Refuse what no permission makes readable."""
        if headers.get(_CUSTOMER_KEY) and _CUSTOMER_KEY not in request.headers:
            text = "The object was stored using a form of Server Side Encryption. The correct parameters "
            return error_reply("s3", 400, "InvalidRequest", f"{text}must be provided to retrieve the object.")
        storage = self.storage.get(request.path) or headers.get("x-amz-storage-class", "")
        if storage in ARCHIVED and request.op == "s3.GetObject":
            text = "The operation is not valid for the object's storage class"
            return error_reply("s3", 403, "InvalidObjectState", text)
        return None

    def allows(self, request: JudgedRequest, person: Person, need: Need) -> bool:
        """Ask the organization's policy and the key's too, and the bucket's, of another account's."""
        others = [one for one in (self.organization, self.key_policies.get(need.resource)) if one is not None]
        allowed = super().allows(request, person, need) and all(
            decision(person, need, one) == "Allow" for one in others
        )
        if not allowed or not self._strange(request, person) or need.action.startswith("kms:"):
            return allowed
        bucket = self._bucket(request)
        document = (bucket and bucket.policy) or {"Version": "2012-10-17", "Statement": []}
        return decision(person, need, document) == "Allow"

    def denied(self, request: JudgedRequest, person: Person, need: Need) -> Reply:
        """Say nothing to strangers."""
        if self._strange(request, person) and not need.action.startswith("kms:"):
            return error_reply("s3", 403, "AccessDenied", "Access Denied")
        return super().denied(request, person, need)

    def why(self, person: Person, need: Need) -> str:
        """Name the policy that does not allow it."""
        if self.organization and decision(person, need, self.organization) == "Deny":
            return f"with an explicit deny in a service control policy: {_CONTROL_POLICY}"
        if self.organization and decision(person, need, self.organization) != "Allow":
            return f"because no service control policy allows the {need.action} action"
        own = decision(person, need, person.document)
        if own == "Allow" and need.resource in self.key_policies:
            return f"because no resource-based policy allows the {need.action} action"
        return super().why(person, need)

    def decrypts(self, request: JudgedRequest, person: Person, key: str) -> Reply | None:
        """Look at the key's state first."""
        found = _KEY_WORDS.get(self.keys.get(key, KeyState.ENABLED))
        if not key or not found:
            return super().decrypts(request, person, key)
        of_s3, of_sqs, text = found
        told = text.format(key=key)
        if request.service == "sqs":
            return sqs_error(400, of_sqs, told)
        return error_reply("s3", 400, f"KMS.{of_s3}", escape(told))

    def _bucket(self, request: JudgedRequest) -> StrictBucket | None:
        return self.buckets.get(request.path[0]) if request.service == "s3" else None

    def _strange(self, request: JudgedRequest, person: Person) -> bool:
        bucket = self._bucket(request)
        return bool(bucket) and bucket.account not in {"", person.account}


def _elsewhere(request: JudgedRequest, bucket: StrictBucket) -> Reply:
    """Return how S3 tells a bucket's region: a redirect, or a signature for the wrong region."""
    code, text = _REDIRECTS[bucket.redirect]
    text = text.format(asked=request.region, region=bucket.region)
    made = error_reply("s3", bucket.redirect, code, escape(text))
    body = made.body.replace(b"</Error>", f"<Region>{bucket.region}</Region></Error>".encode())
    return Reply(made.status, (*made.headers, ("x-amz-bucket-region", bucket.region)), body)
