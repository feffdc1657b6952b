"""Refusals in AWS's documented words: who, what, by which policy, and the key."""

import pytest
from botocore.exceptions import ClientError

from sources.errors import REGION, Denied, ObjectBroken, RegionDisabled, Throttled, Transient, translate
from sources.refusals import AccessDenial, key_in, read

WHO = "arn:aws:sts::1:assumed-role/reader/s"
BUCKET = "arn:aws:s3:::b/k"
KEY = "arn:aws:kms:eu-west-1:1:key/{}"


def refuse(tail, action="s3:GetObject", on=f' on resource: "{BUCKET}"'):
    return f"User: {WHO} is not authorized to perform: {action}{on} {tail}".strip()


def told(message, code="AccessDenied", operation="GetObject", action="s3:GetObject", **about):
    metadata = {"HTTPStatusCode": 403, **about}
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return translate(ClientError(answer, operation), "s3://b/k (input a)", action)


@pytest.mark.parametrize(
    ("tail", "hint"),
    [
        ("", f"allow s3:GetObject for {WHO} on {BUCKET}"),
        (
            "because no identity-based policy allows the s3:GetObject action",
            f"allow s3:GetObject for {WHO} on {BUCKET}",
        ),
        (
            "because no resource-based policy allows the s3:GetObject action",
            f"let the policy of {BUCKET} allow s3:GetObject for {WHO}",
        ),
        (
            "because no session policy allows the s3:GetObject action",
            f"add s3:GetObject to the session policy that {WHO} was given",
        ),
        (
            "because no permissions boundary allows the s3:GetObject action",
            f"add s3:GetObject to the permissions boundary of {WHO}",
        ),
        (
            "because no VPC endpoint policy allows the s3:GetObject action",
            f"let the policy of the VPC endpoint allow s3:GetObject on {BUCKET}",
        ),
        (
            "because no service control policy allows the s3:GetObject action",
            "let the organization's service control policy allow s3:GetObject",
        ),
        (
            "because no resource control policy allows the s3:GetObject action",
            f"let the organization's resource control policy allow s3:GetObject on {BUCKET}",
        ),
    ],
)
def test_r12_who_did_not_allow_is_who_must(tail, hint):
    """The hint asks for the policy that AWS names, not for one more allow at the identity."""
    assert told(refuse(tail)).hint.startswith(hint)


@pytest.mark.parametrize("article", ["a", "an", "the"])
@pytest.mark.parametrize(
    "policy",
    [
        "identity-based policy",
        "resource-based policy",
        "service control policy",
        "resource control policy",
        "session policy",
        "permissions boundary",
        "VPC endpoint policy",
    ],
)
def test_r12_an_explicit_deny_is_not_cured_by_allow(policy, article):
    """Wherever a deny stands, the hint is to lift it there."""
    found = told(refuse(f"with an explicit deny in {article} {policy}"))
    assert f"lift the explicit deny of s3:GetObject for {WHO} in the {policy}" in found.hint
    assert "allow s3:GetObject" not in found.hint
    assert found.cause == f"s3:GetObject for {WHO} by {policy}"


def test_r12_a_deny_names_its_policy():
    """Where AWS tells the policy's ARN it is in hint and cause; so is "with an explicit deny" alone."""
    arn = "arn:aws:organizations::2:policy/o-1/service_control_policy/p-1"
    found = told(refuse(f"with an explicit deny in a service control policy: {arn}"))
    assert f"service control policy {arn}" in found.hint
    assert "administers the organization" in found.hint
    assert found.cause.endswith(arn)
    assert "lift the explicit deny" in told(refuse("with an explicit deny")).hint


def test_r12_actions_of_sqs_are_spelled_as_iam_does():
    """SQS tells actions in lower case; the hint and the cause have them as a policy does."""
    message = refuse(
        "because no identity-based policy allows the sqs:receivemessage action",
        "sqs:receivemessage",
        " on resource: arn:aws:sqs:eu-west-1:1:q",
    )
    found = told(message, "AccessDeniedException", "ReceiveMessage", "sqs:ReceiveMessage")
    assert found.hint == f"allow sqs:ReceiveMessage for {WHO} on arn:aws:sqs:eu-west-1:1:q"
    assert found.cause == f"sqs:ReceiveMessage for {WHO}"
    looked_up = told(
        message.replace("receivemessage", "getqueueurl"), "AccessDenied", "GetQueueUrl", "sqs:ReceiveMessage"
    )
    assert looked_up.cause == f"sqs:GetQueueUrl for {WHO}"
    assert looked_up.hint.startswith(f"allow sqs:GetQueueUrl for {WHO}")


@pytest.mark.parametrize("code", ["KMS.DisabledException", "KmsDisabled"])
def test_r12_two_broken_keys_are_two_causes(code):
    """A key that is off is the cause, not the permission: two keys are two, two objects of one are one."""
    found = [told(f"{KEY.format(n)} is disabled.", code) for n in (1, 1, 2)]
    assert [type(one) for one in found] == [Denied] * 3
    assert len({one.cause for one in found}) == 2
    assert [one.hint for one in found] == [f"enable the KMS key {KEY.format(n)}" for n in (1, 1, 2)]


def test_r12_a_key_that_may_not_be_used_is_a_cause_of_its_own():
    """A lacking kms:Decrypt is told for each key."""
    messages = [refuse("", "kms:Decrypt", f" on resource: {KEY.format(n)}") for n in (1, 2)]
    assert [told(one).cause for one in messages] == [
        f"kms:Decrypt for {WHO} on {KEY.format(n)}" for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("code", "message", "kind", "words"),
    [
        ("KMS.NotFoundException", f"Key '{KEY.format(1)}' does not exist", Denied, "exists"),
        ("KmsNotFound", "", Denied, "KMS key of s3://b/k"),
        (
            "KMS.KMSInvalidStateException",
            f"{KEY.format(1)} is pending deletion.",
            Denied,
            "cancel the deletion",
        ),
        ("KmsInvalidState", f"{KEY.format(1)} is pending import.", Denied, "import the key material"),
        ("KMS.InvalidStateException", f"{KEY.format(1)} is unavailable.", Denied, "connect the key store"),
        ("KmsAccessDenied", "", Denied, "allow kms:Decrypt"),
        ("KmsInvalidKeyUsage", "", Denied, "symmetric"),
        ("KmsOptInRequired", "", Denied, "subscribe"),
        ("KmsThrottled", "", Throttled, "request quota"),
        ("KMS.ThrottlingException", "", Throttled, "request quota"),
        ("KMS.KeyUnavailableException", f"{KEY.format(1)} is unavailable", Transient, "key store"),
        (
            "KMS.UnheardException",
            f"{KEY.format(1)} sleeps",
            Denied,
            f"key policy of the KMS key {KEY.format(1)}",
        ),
        (
            "AccessDenied",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this …",
            Denied,
            "allow kms:Decrypt",
        ),
    ],
)
def test_r12_what_kms_says_has_a_remedy(code, message, kind, words):
    """Each state of a key has its kind and what to do with the key."""
    found = told(message, code)
    assert type(found) is kind
    assert words in found.hint
    assert "s3:GetObject" not in found.hint
    assert key_in(message) in found.hint


def test_r12_sqs_tells_kms_refusals_in_iams_words():
    """Where SQS's code is of KMS and its text is IAM's, principal and key come from the text."""
    found = told(
        refuse("", "kms:Decrypt", f" on resource: {KEY.format(1)}"), "KmsAccessDenied", "ReceiveMessage"
    )
    assert found.hint == f"allow kms:Decrypt for {WHO} on {KEY.format(1)}"
    assert found.cause == f"kms:Decrypt for {WHO} on {KEY.format(1)}"


def test_r12_a_version_that_cannot_be():
    """A notice's version id that S3 cannot have goes to quarantine, with the notice as what is wrong."""
    found = told("Invalid version id specified", "InvalidArgument")
    assert isinstance(found, ObjectBroken)
    assert found.reason == "version_unknown"
    assert "notice" in found.hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct …"),
        ("AccessDenied", "Requests specifying Server Side Encryption with Customer provided keys must …"),
    ],
)
def test_r12_a_writers_own_key(code, message):
    """An object under a key that its writer keeps is told as that, no permission would help."""
    found = told(message, code)
    assert (type(found), found.reason) == (ObjectBroken, "customer_key")
    assert "SSE-C" in found.hint


def test_r28_a_region_that_is_switched_off():
    """Keys that are known elsewhere are not wrong: the region is off; and STS may be off by itself."""
    found = told("…", "InvalidClientTokenId", **{REGION: "me-south-1"})
    assert type(found) is RegionDisabled
    assert "switch the region me-south-1 on" in found.hint
    assert "me-south-1" in found.cause
    found = told(
        "STS is not activated in this region for account:1.", "RegionDisabledException", "AssumeRole"
    )
    assert type(found) is RegionDisabled
    assert "activate STS" in found.hint


def test_what_is_no_refusal():
    """Other words are none."""
    assert read("The specified key does not exist.") is None
    assert read("Access Denied") is None
    assert read(refuse("")) == AccessDenial(WHO, "s3:GetObject", BUCKET)
