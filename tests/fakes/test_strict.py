"""The strict AWS refuses as AWS does, and the collector's own errors say what to do about it."""

import json

import pytest
from botocore.exceptions import ClientError

from flows.demo.strict_aws import Person
from sources.errors import translate
from tests.fakes.ministack import ACCOUNT, REGION
from tests.fakes.strict import KEY, StrictMinistack
from tests.fakes.strict_rules import KeyState, StrictBucket

WHO = f"arn:aws:iam::{ACCOUNT}:user/reader"
OTHER = "arn:aws:iam::999999999999:user/stranger"
READ = ("s3:GetObject", "s3:GetObjectVersion", "kms:Decrypt")


def policy(*actions, resource="*", **more):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture(scope="module")
def strict():
    """Return one strict AWS for the module."""
    with StrictMinistack() as started:
        yield started


@pytest.fixture
def world(strict, unique):
    """Return what a reader asks: a bucket with one object, a queue, and a way to say what it may."""
    return World(strict, unique)


class World:
    def __init__(self, strict, unique):
        self.aws, self.key = strict, unique("AKIA")
        self.bucket, self.queue = strict.bucket(unique("strict")), strict.queue(unique("strict"))
        put = strict.client("s3").put_object(Bucket=self.bucket, Key="k", Body=b"content")
        self.version = put["VersionId"]
        strict.state.keys[KEY] = KeyState.ENABLED
        strict.state.refused.clear()
        strict.state.key_policies.clear()
        strict.state.organization = None

    def may(self, *actions, who=WHO, **more):
        self.aws.state.people[self.key] = Person(who, policy(*actions, **more))

    def get(self, key="k", region=REGION, **more):
        s3 = self.aws.asker("s3", self.key, region)
        return s3.get_object(Bucket=self.bucket, Key=key, **more)["Body"].read()

    def sqs(self, operation, **more):
        return getattr(self.aws.asker("sqs", self.key), operation)(QueueUrl=self.queue.url, **more)

    def refused(self, ask, *asked, **more):
        """Return code, message, and the hint that the collector gives."""
        with pytest.raises(ClientError) as caught:
            ask(*asked, **more)
        told = caught.value.response["Error"]
        action = "sqs:ReceiveMessage" if ask == self.sqs else "s3:GetObject"
        return told["Code"], told["Message"], translate(caught.value, "s3://b/k", action).hint


def test_a_version_needs_a_permission_of_its_own(world):
    """GetObject with a version id is s3:GetObjectVersion, without it s3:GetObject; neither has the other."""
    world.may("s3:GetObject", "kms:Decrypt")
    assert world.get() == b"content"
    code, message, hint = world.refused(world.get, VersionId=world.version)
    assert (code, "s3:GetObjectVersion" in message) == ("AccessDenied", True)
    assert hint.startswith(f"allow s3:GetObjectVersion for {WHO} on arn:aws:s3:::{world.bucket}/k")
    world.may("s3:GetObjectVersion", "kms:Decrypt")
    assert world.get(VersionId=world.version) == b"content"
    assert world.refused(world.get)[0] == "AccessDenied"


def test_an_absent_object_is_told_to_who_may_list(world):
    """Without s3:ListBucket an absent object is a refusal, with it a 404; a stranger is told nothing."""
    world.may(*READ)
    code, message, hint = world.refused(world.get, "absent")
    assert (code, "not authorized to perform: s3:ListBucket" in message) == ("AccessDenied", True)
    assert "lifecycle" in hint
    world.may(*READ, "s3:ListBucket")
    assert world.refused(world.get, "absent")[0] == "NoSuchKey"
    world.aws.state.buckets[world.bucket] = StrictBucket(account=ACCOUNT, policy=policy(*READ))
    world.may(*READ, who=OTHER)
    assert world.get() == b"content"
    assert world.refused(world.get, "absent")[:2] == ("AccessDenied", "Access Denied")


def test_another_account_needs_both_policies(world):
    """A bucket of another account is read when identity and bucket policy allow it; a refusal is bare."""
    world.aws.state.buckets[world.bucket] = StrictBucket(account=ACCOUNT)
    world.may(*READ, who=OTHER)
    code, message, hint = world.refused(world.get)
    assert (code, message) == ("AccessDenied", "Access Denied")
    assert "requester_pays" in hint


def test_the_requester_pays(world):
    """A stranger must say that it pays."""
    world.aws.state.buckets[world.bucket] = StrictBucket(
        account=ACCOUNT, policy=policy(*READ), requester_pays=True
    )
    world.may(*READ, who=OTHER)
    assert world.refused(world.get)[:2] == ("AccessDenied", "Access Denied")
    assert world.get(RequestPayer="requester") == b"content"


def test_delete_markers(world):
    """A deleted object is absent; its marker, asked for by version, is no object."""
    world.may(*READ, "s3:ListBucket")
    marker = world.aws.client("s3").delete_object(Bucket=world.bucket, Key="k")["VersionId"]
    assert world.refused(world.get)[0] == "NoSuchKey"
    assert world.refused(world.get, VersionId=marker)[0] == "MethodNotAllowed"
    assert world.get(VersionId=world.version) == b"content"


@pytest.mark.parametrize("storage", ["GLACIER", "DEEP_ARCHIVE"])
def test_archived_classes(world, storage):
    """An archived object is refused with its class as the reason."""
    world.may(*READ)
    world.aws.state.storage[world.bucket, "k"] = storage
    code, _, hint = world.refused(world.get)
    assert code == "InvalidObjectState"
    assert "restore" in hint


def test_a_writers_own_key(world):
    """An object under SSE-C is an invalid request to who does not bring the key."""
    world.may(*READ)
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    world.aws.client("s3").put_object(Bucket=world.bucket, Key="own", Body=b"x", **own)
    code, message, hint = world.refused(world.get, "own")
    assert code == "InvalidRequest"
    assert "Server Side Encryption" in message
    assert "SSE-C" in hint


def test_kms_is_a_permission_of_its_own(world):
    """Who may read but not decrypt is told the key; so is who receives from an encrypted queue."""
    world.may("s3:GetObject")
    code, message, hint = world.refused(world.get)
    assert (code, KEY in message) == ("AccessDenied", True)
    assert hint == f"allow kms:Decrypt for {WHO} on {KEY}"
    world.may("sqs:ReceiveMessage")
    code, _, hint = world.refused(world.sqs, "receive_message")
    assert code == "KMS.AccessDeniedException"
    assert KEY in hint


@pytest.mark.parametrize(
    ("state", "of_s3", "of_sqs", "words"),
    [
        (KeyState.DISABLED, "KMS.DisabledException", "KMS.DisabledException", "enable the KMS key"),
        (
            KeyState.PENDING_DELETION,
            "KMS.KMSInvalidStateException",
            "KMS.InvalidStateException",
            "cancel the deletion",
        ),
        (
            KeyState.PENDING_IMPORT,
            "KMS.KMSInvalidStateException",
            "KMS.InvalidStateException",
            "import the key material",
        ),
        (KeyState.ABSENT, "KMS.NotFoundException", "KMS.NotFoundException", "exists"),
    ],
)
def test_states_of_keys(world, state, of_s3, of_sqs, words):
    """A key that is not enabled is told by S3 and SQS in their own codes, with the key; the hint has both."""
    world.may(*READ, "sqs:ReceiveMessage")
    world.aws.state.keys[KEY] = state
    for ask, wanted in ((world.get, of_s3), (lambda: world.sqs("receive_message"), of_sqs)):
        code, message, hint = world.refused(ask)
        assert code == wanted
        assert KEY in message
        assert words in hint
        assert KEY in hint


def test_a_batch_needs_the_single_action(world):
    """IAM knows no action of a batch; refusals of SQS spell theirs in lower case."""
    world.may("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "kms:Decrypt")
    world.aws.send(world.queue, "hello")
    (message,) = world.sqs("receive_message", WaitTimeSeconds=2)["Messages"]
    entry = {"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}
    world.sqs("change_message_visibility_batch", Entries=[{**entry, "VisibilityTimeout": 30}])
    world.may("sqs:DeleteMessageBatch", "sqs:ReceiveMessage")
    code, text, hint = world.refused(world.sqs, "delete_message_batch", Entries=[entry])
    assert code == "AccessDenied"
    assert "sqs:deletemessage on resource" in text
    assert WHO in hint


@pytest.mark.parametrize("redirect", [301, 307, 400])
def test_a_bucket_elsewhere_is_told_with_its_region(world, redirect):
    """S3 redirects, or calls the signature's region wrong; both tell the region, and boto3 follows."""
    world.may(*READ)
    world.aws.state.buckets[world.bucket] = StrictBucket(region=REGION, redirect=redirect)
    assert world.get(region="eu-west-1") == b"content"


def test_resources_and_conditions_count(world):
    """A statement for another bucket, key or region allows nothing here."""
    mine = f"arn:aws:s3:::{world.bucket}"
    world.may(*READ, resource=[f"{mine}/k", KEY])
    assert world.get() == b"content"
    world.may(*READ, resource=[f"{mine}-other/*", f"{mine}/K", KEY])
    assert world.refused(world.get)[0] == "AccessDenied"
    elsewhere = {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}}
    world.may(*READ, Condition=elsewhere)
    assert world.refused(world.get)[0] == "AccessDenied"


def test_an_explicit_deny_wins(world):
    """A deny beside an allow refuses."""
    document = policy(*READ)
    document["Statement"].append({"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    world.aws.state.people[world.key] = Person(WHO, json.loads(json.dumps(document)))
    code, message, hint = world.refused(world.get)
    assert (code, "explicit deny" in message) == ("AccessDenied", True)
    assert "lift the explicit deny" in hint


def test_a_keys_policy_must_allow_too(world):
    """Where the identity's policy lets decrypt and the key's does not, refusal and hint name the key."""
    world.may(*READ)
    world.aws.state.key_policies[KEY] = policy("kms:Decrypt", resource="arn:aws:kms:::key/another")
    code, message, hint = world.refused(world.get)
    assert (code, "no resource-based policy allows the kms:Decrypt action" in message) == (
        "AccessDenied",
        True,
    )
    assert "policy" in hint
    assert KEY in hint
    world.aws.state.key_policies[KEY] = policy("kms:Decrypt")
    assert world.get() == b"content"


@pytest.mark.parametrize("effect", ["Deny", "none"])
def test_the_organization_must_allow_too(world, effect):
    """Where a service control policy denies, or allows other things only, the hint names that."""
    world.may(*READ)
    denies = {"Effect": "Deny", "Action": "s3:Get*", "Resource": "*"}
    allows = {"Effect": "Allow", "Action": "*" if effect == "Deny" else "ec2:*", "Resource": "*"}
    statements = [allows, denies] if effect == "Deny" else [allows]
    world.aws.state.organization = {"Version": "2012-10-17", "Statement": statements}
    code, message, hint = world.refused(world.get)
    assert (code, "service control policy" in message) == ("AccessDenied", True)
    assert "service control policy" in hint


def test_who_is_not_known_is_let_through(world):
    """The rules judge whom they know; others are the embedded AWS's business."""
    assert world.aws.client("s3").get_object(Bucket=world.bucket, Key="k")["Body"].read() == b"content"
    assert world.get() == b"content"
