"""`demo --strict`: the demo in an AWS that enforces exactly the policy that `policy` prints.

Buckets keep versions, objects and queues are encrypted with a KMS key, and each request of the collector is
judged as AWS would. `old`: the policy as it was before versions were known, `s3:GetObject` alone for objects.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson

from flows.commands.iam_policy import QUEUE_ATTRIBUTES, Known, grants
from flows.config.load import load
from flows.demo.configuration import OBJECT_QUEUES
from flows.demo.embedded import EmbeddedAws
from flows.demo.sample_audits import ACCOUNT
from flows.demo.strict_aws import Person, StrictRules, strict_proxy

PRINTED, OLD = "printed", "old"
_PERSON = "collector"
_VERSIONS = "s3:GetObjectVersion"


class StrictAws(EmbeddedAws):
    """The embedded AWS as the collector sees it: through the rules, with a key and a policy of its own."""

    def __init__(self, aws: EmbeddedAws, judged: Mapping[str, str], state: StrictRules, policy: str) -> None:
        super().__init__(aws.url, aws.apis, aws.told)
        self.state, self._judged, self._policy = state, judged, policy
        self._kms_key = str(self.client("kms").create_key()["KeyMetadata"]["Arn"])
        iam = self.client("iam")
        self._arn = str(iam.create_user(UserName=_PERSON)["User"]["Arn"])
        made = iam.create_access_key(UserName=_PERSON)["AccessKey"]
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}  # the rules in front judge
        document = orjson.dumps({"Version": "2012-10-17", "Statement": [everything]}).decode()
        iam.put_user_policy(UserName=_PERSON, PolicyName="signatures", PolicyDocument=document)
        self.keys = {"access_key": made["AccessKeyId"], "access_secret": made["SecretAccessKey"]}

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a process's AWS clients through the rules."""
        return {name: self._judged[url] for name, url in super().environment().items()}

    def admit(self, settings: Path) -> None:
        """Let the collector do exactly what `policy` prints for its configuration, or less."""
        checks = self._policy != OLD
        known = Known(ACCOUNT, tuple(OBJECT_QUEUES.values()), (self._kms_key,), checks=checks)
        (grant,) = grants(load(settings), known)
        document = grant.document()
        if self._policy == OLD:
            document = without(document, _VERSIONS)
        self.state.people[self.keys["access_key"]] = Person(self._arn, document)

    def announced_bucket(self, bucket: str, queue: str) -> None:
        """Make a bucket that keeps versions and encrypts, announced in a queue that is encrypted."""
        super().announced_bucket(bucket, queue)
        s3 = self.client("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self._kms_key}
        s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
        )
        self._encrypt(queue)

    def event_queue(self, queue: str) -> None:
        """Make a FIFO queue that is encrypted."""
        super().event_queue(queue)
        self._encrypt(queue)

    def _encrypt(self, queue: str) -> None:
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": self._kms_key})
        self.state.queue_keys[queue] = self._kms_key

    def objection(self, log: str) -> str:
        """Return what was not as it should be under the policy, "" when nothing."""
        lacking, warnings = ({_VERSIONS, QUEUE_ATTRIBUTES}, 1) if self._policy == OLD else (set(), 0)
        refused = sorted({action for action, _ in self.state.refused} - lacking)
        told = [line for line in log.splitlines() if " WARNING " in line or " ERROR " in line]
        if refused:
            return f"refused: {', '.join(refused)}"
        if len(told) != warnings:
            return f"{len(told)} warnings instead of {warnings}"
        return ""


def without(document: Mapping[str, Any], action: str) -> dict[str, Any]:
    """Return a policy that does not allow an action."""
    kept = [
        {**one, "Action": [name for name in one["Action"] if name != action]} for one in document["Statement"]
    ]
    return {**document, "Statement": [one for one in kept if one["Action"]]}


@contextmanager
def strictly(aws: EmbeddedAws, policy: str) -> Iterator[StrictAws]:
    """Put the rules before an embedded AWS; they end with the block. policy: PRINTED or OLD."""
    state = StrictRules()
    with ExitStack() as stack:
        judged = {url: stack.enter_context(strict_proxy(url, state)) for url in (aws.url, aws.apis)}
        yield StrictAws(aws, judged, state, policy)
