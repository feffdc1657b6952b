"""An embedded AWS that is strict: ministack behind AWS's rules (`flows.demo.strict_aws`).

Its `url` is what a collector asks; a test's own clients go past the rules. Every bucket keeps versions and
encrypts with a KMS key, so does every queue. A collector may do exactly what `policy` prints for its
configuration, once `admit` has seen that; `STRICT_AWS=1` lets whole suites play in it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import boto3

from flows.commands.iam_policy import Known, grants
from flows.config.load import SettingsError, load
from flows.demo.strict_aws import Person, StrictRules, strict_proxy
from tests.fakes.ministack import ACCOUNT, REGION, Ministack, Queue
from tests.fakes.strict_rules import WholeRules

STRICT = bool(os.environ.get("STRICT_AWS"))
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/5e5c2d3a-0000-4000-8000-000000000001"


class StrictMinistack(Ministack):
    """`with StrictMinistack() as aws:` starts one; `aws.state` is what the rules look at."""

    def __init__(self, *, auth: bool = False) -> None:
        super().__init__(auth=auth)
        self.state = WholeRules()
        self.upstream = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        super().__enter__()
        self.upstream = self.url
        self.url = self._stack.enter_context(strict_proxy(self.upstream, self.state))
        return self

    def __exit__(self, *about: object) -> None:
        self._stack.close()
        super().__exit__(*about)

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a cached boto3 client of the AWS behind the rules."""
        ruled, self.url = self.url, self.upstream
        try:
            return super().client(service, region)
        finally:
            self.url = ruled

    def asker(self, service: str, key: str, region: str = REGION) -> Any:
        """Return a boto3 client that is judged as whoever has that access key."""
        keys = {"aws_access_key_id": key, "aws_secret_access_key": "x"}
        return boto3.client(service, region, endpoint_url=self.url, **keys)

    def queue(self, name: str, **more: Any) -> Queue:
        """Make an encrypted queue."""
        made = super().queue(name, **more)
        asked = self.client("sqs", made.region)
        asked.set_queue_attributes(QueueUrl=made.url, Attributes={"KmsMasterKeyId": KEY})
        self.state.queue_keys[made.name] = KEY
        return made

    def bucket(self, name: str, region: str = REGION) -> str:
        """Make a bucket that keeps versions and encrypts."""
        super().bucket(name, region)
        s3 = self.client("s3", region)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
        s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
        )
        return name

    def admit(self, config: Path, *, proves: bool = False) -> None:
        """Let the keys of a configuration do what `policy` prints for it, and nothing else."""
        with suppress(SettingsError):  # a configuration that is refused asks nothing
            admit(self.state, config, ACCOUNT, proves=proves)


def admit(state: StrictRules, config: Path, account: str, *, proves: bool = False) -> None:
    """Attach what `policy` prints for a configuration to its access keys; with `--prove` where asked for."""
    settings = load(config)
    for grant in grants(settings, Known(account, (), (KEY,), proves=proves)):
        key = settings.inputs[grant.input].credentials.access_key
        document = json.loads(json.dumps(grant.document()).replace("${ACCOUNT}", account))
        if key:
            who = f"arn:aws:iam::{account}:user/{grant.input}"
            state.people[key.get_secret_value()] = Person(who, document)


@contextmanager
def ruled(url: str, aws: Ministack) -> Iterator[str]:
    """Put the rules of a strict AWS before other APIs; of another one, none."""
    if not isinstance(aws, StrictMinistack):
        yield url
        return
    with strict_proxy(url, aws.state) as judged:
        yield judged
