"""What a proof may ask: exactly what `policy --prove` prints, in an AWS that enforces it."""

import json

import pytest

from flows.check.run import findings
from flows.cli import main
from flows.commands.iam_policy import Known, grants
from flows.config.load import load
from flows.demo.strict_aws import Person, strict_proxy
from tests.fakes.fake_aws.cloudtrail import put_public_key
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.strict import ACCOUNT, KEY, StrictMinistack
from tests.flows.proof.trails import FINGERPRINT, public_key
from tests.flows.proof.worlds import World

WHO = "prover"
ASKED = ("s3:ListBucket", "sqs:GetQueueAttributes", "cloudtrail:ListPublicKeys")


@pytest.fixture(scope="module")
def strict():
    """Return a strict AWS, and CloudTrail behind the same rules."""
    with (
        StrictMinistack() as aws,
        FakeAws() as cloudtrail,
        strict_proxy(cloudtrail.url, aws.state) as url,
    ):
        yield aws, url


@pytest.fixture
def world(strict, unique, tmp_path, monkeypatch):
    """Return a world with a signed trail, and an object whose message is in the queue."""
    aws, url = strict
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDTRAIL", url)
    put_public_key(FINGERPRINT, public_key())
    made = World(aws, unique, tmp_path, key=WHO)
    made.sign()
    key = made.trail.names[0].replace("CloudTrail-Digest", "CloudTrail")
    made.announce(key, made.put(key))
    return made


def allow(world, known, without=""):
    """Let the configuration's key do what the policy says."""
    (grant,) = grants(load(world.config), known)
    document = json.loads(json.dumps(grant.document()).replace("${ACCOUNT}", ACCOUNT))
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action != without]
    document["Statement"] = [one for one in document["Statement"] if one["Action"]]
    world.aws.state.people[WHO] = Person(f"arn:aws:iam::{ACCOUNT}:user/prover", document)


def test_the_printed_policy_is_enough(world, capsys):
    """With `policy --prove` all is looked at: bucket, queue, digests, log files."""
    allow(world, Known(ACCOUNT, (world.bucket,), (KEY,), checks=False, proves=True))
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["in_flight"]) == (1, 1), told
    assert told["digests"][0]["logs"] == 8


@pytest.mark.parametrize("action", ASKED)
def test_without_one_of_them_it_could_not_look(world, capsys, action):
    """Each is needed: without it the exit code is 2, and the line names it."""
    allow(world, Known(ACCOUNT, (world.bucket,), (KEY,), checks=False, proves=True), action)
    code, told = world.prove(capsys)
    assert code == 2
    assert action.lower() in told.lower()


def test_they_are_granted_only_when_asked_for(world, capsys):
    """Without the option the policy is what collecting needs."""
    asked = ["policy", "--config", str(world.config), "--no-check"]
    main(asked)
    assert not [action for action in ASKED if action in capsys.readouterr().out]
    main([*asked, "--prove"])
    printed = capsys.readouterr().out
    assert not [action for action in ASKED if action not in printed]


@pytest.mark.parametrize("named", ["name", "URL"])
@pytest.mark.parametrize(("action", "level"), [("", "ok"), ("cloudtrail:ListPublicKeys", "fail")])
def test_check_tells_whether_a_proof_could_look(world, monkeypatch, action, level, named):
    """`check --prove` asks for it, and says what is missing; however the queue is named."""
    if named == "URL":
        world.by_url(monkeypatch)
    allow(world, Known(ACCOUNT, (world.bucket,), proves=True), action)
    found = [str(one) for one in findings(world.config, prove=True) if "ListPublicKeys" in str(one)]
    assert [one.split()[0] for one in found] == [level], found
