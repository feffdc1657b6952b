"""Clock, keys and role hops, against an AWS that checks them."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.ministack import ACCOUNT
from tests.flows.check.conftest import config, document, flow_logs

ROLE = f"arn:aws:iam::{ACCOUNT}:role/"


@pytest.fixture
def queue(bob, unique):
    """Return the name of a queue that gives no cause for a word."""
    dead = bob.aws.queue(unique("dead"))
    return bob.aws.queue(unique("flow"), redrive=(dead, 5)).name


@pytest.fixture
def ask(look, queue):
    """Return what checks a configuration with these credentials."""
    return lambda credentials, **context: look(config(flow_logs(queue), credentials), **context)


@pytest.fixture
def role(bob, unique):
    """Return a maker of roles: whom they trust, by which external id."""

    def make(trusted, external=""):
        name = unique("role")
        condition = {"Condition": {"StringEquals": {"sts:ExternalId": external}}} if external else {}
        trust = document("sts:AssumeRole", Principal={"AWS": trusted}, **condition)
        iam = bob.aws.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        allowed = document("sts:AssumeRole", "sqs:*", "iam:SimulatePrincipalPolicy")
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allowed)
        return f"{ROLE}{name}"

    return make


@pytest.fixture
def machine(bob, monkeypatch):
    """Give this machine bob's identity, who may assume roles."""
    bob.may("sts:AssumeRole")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bob.keys["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bob.keys["access_secret"])
    return bob


def test_who_we_are(bob, ask):
    """Good keys are one ok line with the ARN, and the clock is right."""
    found = ask(bob.keys)
    assert f"works as {bob.arn}: input aws, credentials" in found.line("identity")
    assert found.line("clock").startswith("ok")
    assert not found.of("fail")


def test_a_wrong_key(bob, ask):
    """A key that AWS does not know is one failure; nothing else is asked with it."""
    line = ask({**bob.keys, "access_key": "AKIAIOSFODNN7EXAMPLE"}).only("fail", "key_unknown")
    assert "access_key is unknown to AWS" in line
    assert "input aws, credentials" in line


def test_a_wrong_secret(bob, ask):
    """A secret that is not the key's is one failure, and is not shown."""
    line = ask({**bob.keys, "access_secret": "not-the-secret"}).only("fail", "key_secret")
    assert "access_secret does not belong to access_key" in line
    assert "not-the-secret" not in line


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException"])
def test_an_expired_key(bob, ask, proxy, code):
    """Temporary keys that have ended are one failure."""
    text = "The security token included in the request is expired"
    proxy.add("error", op="sts.*", code=code, status=403, message=text)
    assert "the keys have expired" in ask(bob.keys).only("fail", "key_expired")


def test_no_credentials_at_all(ask, proxy):
    """Without keys, profile or a machine's role the failure says what to give."""
    line = ask({}).only("fail", "credentials")
    assert "give credentials, or run on a machine with a role" in line


def test_root_is_told(look, queue, proxy):
    """Working as the account's root user is a warning."""
    found = look(config(flow_logs(queue), {"access_key": ACCOUNT, "access_secret": "x"}))
    assert "root user" in found.line("identity")
    assert found.line("identity").startswith("warn")


def test_two_hops(machine, ask, role):
    """Two hops that work are one ok line that names both."""
    base = role(machine.arn)
    target = role(base, "id")
    found = ask({"base_assume_role": base, "target_assume_role": target, "assume_role_external_id": "id"})
    assert "by base_assume_role and target_assume_role" in found.line("identity")
    assert not found.of("fail")


def test_the_first_hop_is_not_permitted(machine, ask, role):
    """A principal without sts:AssumeRole is named, with the role that it needs it for."""
    base = role(machine.arn)
    machine.may("sqs:*")
    credentials = {"base_assume_role": base, "target_assume_role": role(base)}
    line = ask(credentials).only("fail", "role_permission")
    assert f"{machine.arn} may not assume the role {base}" in line
    assert f"input aws, credentials.base_assume_role {base}: allow sts:AssumeRole" in line


def test_the_second_hop_is_not_trusted(machine, ask, role):
    """A target role that does not trust the base role fails at the second hop, with the base role's name."""
    base, target = role(machine.arn), role(machine.arn)
    line = ask({"base_assume_role": base, "target_assume_role": target}).only("fail", "role_trust")
    session = base.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
    assert f"the role {target} does not let {session}/" in line
    assert "with no external id" in line
    assert f"credentials.target_assume_role {target}" in line
    assert "hop 2 of 2: " in line
    assert f'"Principal":{{"AWS":"{base}"}},"Action":"sts:AssumeRole"}}' in line


@pytest.mark.parametrize("given", [{}, {"assume_role_external_id": "another-id"}])
def test_an_external_id_that_does_not_match(machine, ask, role, given):
    """A missing or wrong external id fails at the target role and points at its sts:ExternalId."""
    base = role(machine.arn)
    target = role(base, "the-right-id")
    line = ask({"base_assume_role": base, "target_assume_role": target, **given}).only("fail", "role_trust")
    assert f"the role {target} does not let" in line
    assert ("with this assume_role_external_id" if given else "with no external id") in line
    assert "compare Principal and sts:ExternalId of its trust policy" in line
    assert ('"sts:ExternalId":"${EXTERNAL_ID}"' in line) is bool(given)
    assert "another-id" not in line


def test_r23_one_hop_is_told_with_what_must_be_added(machine, ask, role):
    """One role with an external id works from the machine; refused, it is told what its trust lacks."""
    target = role(machine.arn, "id")
    assert not ask({"target_assume_role": target, "assume_role_external_id": "id"}).of("fail")
    line = ask({"target_assume_role": target, "assume_role_external_id": "no"}).only("fail", "role_trust")
    assert "hop" not in line.split(": ")[0]
    assert f'"Principal":{{"AWS":"{machine.arn}"}}' in line


def test_a_role_that_does_not_exist(machine, ask, role):
    """A role that is not there is told as AWS tells it: like one that does not trust."""
    base = role(machine.arn)
    gone = f"{ROLE}nobody"
    line = ask({"base_assume_role": base, "target_assume_role": gone}).only("fail", "role_trust")
    assert "may also not exist" in line


@pytest.mark.parametrize(("minutes", "way"), [(11, "ahead"), (-11, "behind")])
def test_a_clock_that_is_wrong(bob, ask, minutes, way):
    """A clock five minutes off or more is one failure, with by how much and which way."""
    line = ask(bob.keys, now=lambda: datetime.now(UTC) + timedelta(minutes=minutes)).only("fail", "clock")
    assert f"s, {way}: clock: set it, by NTP" in line


def test_a_clock_that_is_a_little_off(bob, ask):
    """Two minutes are a warning."""
    late = ask(bob.keys, now=lambda: datetime.now(UTC) + timedelta(minutes=2)).line("clock")
    assert late.startswith("warn")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"),
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large",
        ),
    ],
)
def test_aws_says_that_the_clock_is_wrong(bob, ask, proxy, code, text):
    """A signature refused for its time is the clock's failure, not the key's."""
    proxy.add("error", op="sts.*", code=code, status=403, message=text)
    ask(bob.keys).only("fail", "clock")


@pytest.mark.parametrize("value", ["a", "acme corp", "grüße-x", "a" * 1225, "line\nbreak"])
def test_an_external_id_that_aws_excludes_is_a_warning(look, value):
    """What STS documents is told before AWS is asked, without the value; it is AWS that decides."""
    services = {"aws-guardduty": {"regions": ["eu-west-1"]}}
    credentials = {"target_assume_role": f"{ROLE}a", "assume_role_external_id": value}
    told = look(config(services, credentials), offline=True).only("warn", "external_id")
    assert f"of {len(value)} characters: input aws, credentials.assume_role_external_id" in told
    assert value not in told or len(value) == 1
    content = config(services)
    content["inputs"]["aws"]["organization"] = {"external_id": value}
    told = look(content, offline=True).only("warn", "external_id")
    assert "input aws, organization.external_id" in told


@pytest.mark.parametrize("value", ["12", "a" * 1224, "x/y:z=1,2.3@a-b+c_d"])
def test_an_external_id_as_aws_takes_it_is_not_mentioned(look, value):
    """Each kind of character that STS documents."""
    content = config({"aws-guardduty": {"regions": ["eu-west-1"]}})
    content["inputs"]["aws"]["organization"] = {"external_id": value}
    found = look(content, offline=True)
    assert not [*found.of("fail"), *found.of("warn")]
