"""An AWS that checks signatures and policies, a person in it, and a way to look at a configuration."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.catalogue.services import units
from flows.check.finding import CheckContext, Finding, Level
from flows.check.run import run
from flows.check.settings import refused
from flows.config.load import SettingsError, load
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import ACCOUNT, REGION, Ministack

ALLOWED = ("sqs:GetQueueUrl", "sqs:GetQueueAttributes", "iam:SimulatePrincipalPolicy")
WORK = (
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "s3:GetObject",
    "s3:GetObjectVersion",
)


def document(*actions: str, **more: Any) -> str:
    """Return a policy that allows actions on everything, or as `more` says."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"} | more
    if "Principal" in statement:
        del statement["Resource"]
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass
class Person:
    """An IAM user of the embedded AWS, whose policy a test may change."""

    aws: Ministack
    name: str
    keys: dict[str, str]

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT}:user/{self.name}"

    def may(self, *actions: str, **more: Any) -> None:
        """Replace what the person is allowed."""
        self.aws.client("iam").put_user_policy(
            UserName=self.name, PolicyName="p", PolicyDocument=document(*actions, **more)
        )


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every AWS setting of this machine away."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture(scope="package")
def strict() -> Iterator[Ministack]:
    """Return an embedded AWS that enforces signatures, tokens and policies."""
    with Ministack(auth=True) as started:
        yield started


@pytest.fixture
def proxy(strict: Ministack, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Return a proxy before the strict AWS, and point this process's clients at it."""
    with FaultProxy(strict.url) as started:
        monkeypatch.setenv("AWS_ENDPOINT_URL", started.url)
        yield started


@pytest.fixture
def bob(strict: Ministack, proxy: FaultProxy, unique: Callable[[str], str]) -> Person:
    """Return a user who may do all that the collector and its check need."""
    iam, name = strict.client("iam"), unique("bob")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    person = Person(strict, name, {"access_key": key["AccessKeyId"], "access_secret": key["SecretAccessKey"]})
    person.may(*ALLOWED, *WORK)
    return person


@dataclass
class Look:
    """Looks at a configuration and keeps what was found."""

    folder: Path
    found: list[Finding] = field(default_factory=list)

    def __call__(self, content: dict[str, Any], *, offline: bool = False, **context: Any) -> "Look":
        """Check; `context`: fields of a Context."""
        return self.text(yaml.safe_dump(content, sort_keys=False), offline=offline, **context)

    def text(self, content: str, *, offline: bool = True, **context: Any) -> "Look":
        """Check a configuration as somebody has written it."""
        path = self.folder / "config.yaml"
        path.write_text(content)
        try:
            settings = load(path)
        except SettingsError as error:
            self.found = list(refused(error))
            return self
        self.found = list(run(CheckContext(settings, tuple(units(settings)), **context), offline=offline))
        return self

    def of(self, level: str) -> list[Finding]:
        return [one for one in self.found if one.level is Level(level)]

    def only(self, level: str, code: str) -> str:
        """Return the one line of a level, which must have this code."""
        found = self.of(level)
        assert [one.code for one in found] == [code], "\n".join(map(str, self.found))
        return str(found[0])

    def line(self, code: str) -> str:
        """Return the one line of a code."""
        found = [one for one in self.found if one.code == code]
        assert len(found) == 1, "\n".join(map(str, self.found))
        return str(found[0])


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Return what checks a configuration; without outputs it goes to a file."""
    return Look(tmp_path)


def flow_logs(queue: str, region: str = REGION, **more: Any) -> dict[str, Any]:
    """Return the services of one that reads a queue."""
    options = {"types": ["flowlogs"], "regions": [region], "vpcflowlogs_sqs_queue_name": queue}
    return {"non-cloudwatch-logs": {**options, **more}}


def config(
    services: dict[str, Any], credentials: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """Return a configuration of one input."""
    made = {"id": "1", "credentials": credentials or {}, "services": services}
    outputs = {"here": {"type": "file", "config": {"path": "events.log"}}}
    return {"inputs": {"aws": made}, "outputs": outputs, **more}
