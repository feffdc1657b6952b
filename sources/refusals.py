"""How AWS says no: who may not do what on which resource, by which policy, and which KMS key is at fault.

IAM's sentence, as its user guide documents it ("Troubleshoot access denied error messages"):

    User: PRINCIPAL is not authorized to perform: ACTION on resource: RESOURCE
        because no POLICY allows the ACTION action
        with an explicit deny in a POLICY[: ARN OF THE POLICY]

The tail is left out by some services, the whole of it where the resource is another organization's. KMS
speaks through S3 (`KMS.DisabledException`) and SQS (`KmsDisabled`) with texts of its own, which mostly name
the key.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

_WHO = re.compile(
    r"(?P<principal>arn:\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on (?:resource: ?)?\"?(?P<resource>arn:[^\s\"]+))?"
)
_NOBODY = re.compile(r"because no (?P<policy>[\w -]+?) allows")
_DENY = re.compile(
    r"with an explicit deny(?: in (?:an? |the )?(?P<policy>[\w -]*?(?:policy|boundary)))?"
    r"(?:[:\s(]+(?P<named>arn:[^\s)\",]+))?"
)
_KEY_ARN = re.compile(r"arn:[\w-]+:kms:[^\s'\",)]*[\w-]")
_KEY_NAMED = re.compile(
    r"[Kk]ey(?:Id| ID)? '(?P<quoted>[^']+)'|^(?P<first>\S+) (?:is|key usage is|origin is) "
)
_ORDINARY = frozenset({"", "identity-based policy"})
ORGANIZATION_POLICY = "service control policy"
"""AWS's words for the policies of an organization that bind its accounts."""

_ORGANIZATION = frozenset({ORGANIZATION_POLICY, "resource control policy"})
_OTHER_KEY = "The ciphertext refers to a customer master key"
"""S3's and KMS's words for a key that is absent, elsewhere, or not for us: which one, it does not say."""


class AccessDenial(Struct, frozen=True):
    """What a refusal says; "" = unknown.

    policy: the type of policy that decided. named: its ARN. explicit: it denies, no other can allow.
    """

    principal: str = ""
    action: str = ""
    resource: str = ""
    policy: str = ""
    named: str = ""
    explicit: bool = False

    @property
    def ordinary(self) -> bool:
        """Nobody has allowed it, as far as is known: allowing it to the identity helps."""
        return not self.explicit and self.policy in _ORDINARY

    @property
    def decided_by(self) -> str:
        """The policy that decided, for messages; "" when it is the identity's own lack."""
        if self.ordinary:
            return ""
        return " ".join(part for part in (self.policy or "policy", self.named) if part)

    @property
    def why(self) -> str:
        """Why it is refused, in AWS's words; "" when it is the identity's own lack."""
        if self.explicit:
            return f"with an explicit deny in a {self.decided_by}"
        return f"no {self.policy} allows it" if self.decided_by else ""


def read(message: str) -> AccessDenial | None:
    """Return what a message of AWS tells of a refusal, None when it is no such sentence."""
    who, deny, nobody = _WHO.search(message), _DENY.search(message), _NOBODY.search(message)
    if not (who or deny or nobody):
        return None
    told = {name: value or "" for name, value in who.groupdict().items()} if who else {}
    if told.get("resource"):
        told["resource"] = told["resource"].rstrip(".,)")
    policy = deny or nobody
    return AccessDenial(
        **told,
        policy=(policy and policy["policy"]) or "",
        named=(deny and deny["named"]) or "",
        explicit=deny is not None,
    )


_REMEDIES = {
    "resource-based policy": "let the policy of {resource} allow {action} for {who}",
    "session policy": "add {action} to the session policy that {who} was given; its role's own do not help",
    "permissions boundary": "add {action} to the permissions boundary of {who}; its policies do not help",
    "VPC endpoint policy": "let the policy of the VPC endpoint allow {action} on {resource} for {who}",
    "role trust policy": "let the trust policy of {resource} allow {action} for {who}",
    "service control policy": "let the organization's {policy} allow {action} for the account of {who}",
    "resource control policy": "let the organization's {policy} allow {action} on {resource}",
}
"""The type of policy that did not allow → what a person does about it."""

_ALLOW = "allow {action} for {who} on {resource}"
_LIFT = "lift the explicit deny of {action} for {who} in the {by}; allowing it once more does not help"


def remedy(refusal: AccessDenial, action: str, who: str, resource: str) -> str:
    """Return what a person does about a refusal. action, who, resource: for what AWS does not tell."""
    text = _LIFT if refusal.explicit else _REMEDIES.get(refusal.policy, _ALLOW)
    told = text.format(
        action=spelled(refusal.action, action),
        who=refusal.principal or who,
        resource=refusal.resource or resource,
        policy=refusal.policy,
        by=refusal.decided_by,
    )
    by_others = refusal.explicit and refusal.policy in _ORGANIZATION
    return f"{told}; it is made by whoever administers the organization" if by_others else told


def spelled(told: str, asked: str, operation: str = "") -> str:
    """Return the action as IAM's pages spell it: SQS writes it in lower case. operation: botocore's name."""
    known = (asked, f"{told.partition(':')[0]}:{operation}")
    return next((one for one in known if one.lower() == told.lower()), told or asked)


def also_lacking(action: str, *, bare: bool) -> str:
    """Return what else a read of an object may lack, for the hint; "" for other actions.

    bare: AWS gives no reason, as for another organization's bucket.
    """
    if action not in {"s3:GetObject", "s3:GetObjectVersion"}:
        return ""
    also = ", and s3:GetObject" if action == "s3:GetObjectVersion" else ""
    also += ", and kms:Decrypt if its key is in KMS"
    if bare:
        also += "; where the requester pays, set requester_pays"
        also += "; AWS says the same of an object that is not there, to who may not s3:ListBucket"
    return also


# KMS

_KMS_CODE = re.compile(r"K(?:MS\.|ms)(?P<state>\w+?)(?:Exception)?$")
_KMS_OWN = re.compile(r"(?P<state>Disabled|KMSInvalidState|KeyUnavailable|InvalidKeyUsage)Exception$")

_KMS_STATES = {
    "disabled": "enable the KMS key {key}",
    "invalidstate": "see the state of the KMS key {key}: it must be enabled",
    "notfound": "see that the KMS key {key} exists there; what a deleted key has encrypted is lost, "
    "so give the bucket or queue another key for what is new",
    "accessdenied": "allow kms:Decrypt for the collector's identity on the KMS key {key}, its key policy too",
    "optinrequired": "subscribe the account to KMS, of the key {key}",
    "invalidkeyusage": "give the bucket or queue a symmetric KMS key to encrypt with instead of {key}",
    "throttled": "it is tried again more slowly; raise KMS's request quota, or let bucket keys or a longer "
    "data key reuse period ask it more rarely",
    "keyunavailable": "it is tried again; see the key store of the KMS key {key}",
}
_KMS_PENDING = {
    "pending deletion": "cancel the deletion of the KMS key {key} and enable it: with it goes all that it "
    "has encrypted",
    "pending import": "import the key material of the KMS key {key}",
    "unavailable": "connect the key store of the KMS key {key}",
}
_KMS_ANY = "see the state and the key policy of the KMS key {key}"


class KeyTrouble(Struct, frozen=True):
    """What KMS has against a key. state: stable word. key: ARN or name, "" = unknown."""

    state: str
    key: str

    def remedy(self, message: str, where: str) -> str:
        """Return what a person does about it. message: AWS's. where: what the key belongs to."""
        told = next((text for part, text in _KMS_PENDING.items() if part in message), "")
        text = told or _KMS_STATES.get(self.state, _KMS_ANY)
        return text.format(key=self.key or f"of {where}")


def key_trouble(code: str, message: str) -> KeyTrouble | None:
    """Return what a reply says about a KMS key, None when it is about something else."""
    found = _KMS_CODE.match(code) or _KMS_OWN.match(code)
    if found:
        state = found["state"].lower().removeprefix("kms").replace("throttling", "throttled")
        return KeyTrouble(state, key_in(message))
    if _OTHER_KEY in message or (code == "NotFoundException" and key_in(message)):
        return KeyTrouble("accessdenied" if _OTHER_KEY in message else "notfound", key_in(message))
    return None


def key_in(message: str) -> str:
    """Return the KMS key that a message is about, "" when it names none."""
    if found := _KEY_ARN.search(message):
        return found[0]
    named = _KEY_NAMED.search(message)
    return (named["quoted"] or named["first"]) if named else ""


# other words

_CUSTOMER_KEY = (
    "its writer keeps the key (SSE-C), so nobody else can read it: let it write with SSE-S3 or SSE-KMS"
)
UNREADABLE = (
    ("AccessDenied", "Server Side Encryption with Customer provided keys", "customer_key", _CUSTOMER_KEY),
    ("InvalidRequest", "stored using a form of Server Side Encryption", "customer_key", _CUSTOMER_KEY),
    (
        "InvalidArgument",
        "nvalid version id",
        "version_unknown",
        "the notice names a version that S3 cannot have: see who wrote it, and read the object by replay",
    ),
)
"""What S3 says of objects that no permission makes readable: (code, part of the text, reason, hint)."""

CODE_HINTS = {
    "AccountProblem": "AWS has closed this account to its services: see its bills, or ask AWS Support",
    "AllAccessDisabled": "AWS has closed this resource to everybody: ask AWS Support",
    "IDPRejectedClaim": "see the trust policy of the role for web identities, and the token's audience",
    "InvalidAddress": "correct the queue's URL: account and name",
    "InvalidIdentityToken": "see the file of the web identity's token, and the identity provider in IAM",
    "InvalidSecurity": "SQS takes HTTPS and signature version 4 only: see AWS_ENDPOINT_URL and proxies",
    "OperationNotPermittedException": "ask in the account and region that own it",
    "RequestInTheFuture": "set this machine's clock, by NTP for instance",
    "RequestTimeTooSkewed": "set this machine's clock, by NTP for instance",
}
"""For codes of which more is known than of their kind."""


def region_remedy(code: str, region: str, *, key: bool) -> str:
    """Return what a person does about a region that is switched off. key: it says not to know the key."""
    place = f"the region {region}" if region else "that region"
    if code == "RegionDisabledException":
        return f"activate STS for {place} in IAM's account settings, and {place} itself in the account's"
    if key:
        return f"switch {place} on in the account, or take it out of regions: the keys work elsewhere"
    return f"switch the service and {place} on in the account, or take {place} out of regions"


def clock_skew(answer: Mapping[str, Any], now: datetime) -> float | None:
    """Return the seconds that `now` is ahead of the clock of AWS, None if the answer does not tell it."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        theirs = parsedate_to_datetime(said)
    except (TypeError, ValueError):
        return None
    theirs = theirs.replace(tzinfo=UTC) if theirs.tzinfo is None else theirs
    return (now - theirs).total_seconds()
