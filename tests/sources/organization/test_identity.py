"""Roles in many accounts over shared clients: each call is signed by the account that makes it."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from sources.aws.account import Account, Credentials
from sources.aws.credentials import Hop
from sources.errors import BadCredentials, RegionDisabled
from sources.organization.identity import MemberIdentity, SharedClients
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.organization import EXTERNAL_ID, ROLE, Organization


@pytest.fixture
def world(monkeypatch):
    fake_aws.reset()
    with fake_aws.FakeAws() as aws:
        for name, value in fake_aws.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        yield Organization(aws, ["us-east-1"])


def identities(accounts: list[str]) -> list[MemberIdentity]:
    keys = Credentials(access_key=fake_aws.ACCOUNT, access_secret="secret")
    clients = SharedClients(Account("org", keys, region="us-east-1"))
    secret = SecretStr(EXTERNAL_ID)
    return [
        MemberIdentity(clients, Hop("organization", f"arn:aws:iam::{one}:role/{ROLE}", secret))
        for one in accounts
    ]


def test_one_client_serves_all_accounts_each_under_its_own_name(world):
    """From many threads at once, every call is answered for the account that asks."""
    accounts = world.join(4)
    members = identities(accounts)
    assert members[0].client("sts", "us-east-1")._client is members[1].client("sts", "us-east-1")._client

    def ask(number: int) -> tuple[str, str]:
        one = members[number % len(members)]
        return one.account_id, one.client("sts", "us-east-1").get_caller_identity()["Account"]

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(60)))
    assert all(mine == theirs for mine, theirs in asked)
    assert {theirs for _, theirs in asked} == set(accounts)


def test_a_call_within_anothers_call_keeps_both_apart(world):
    """A generator that goes on after another account has asked still asks as its own."""
    first, second = identities(world.join(2))
    client = first.client("sts", "us-east-1")
    client.get_caller_identity()
    second.client("sts", "us-east-1").get_caller_identity()
    assert client.get_caller_identity()["Account"] == first.account_id


def test_a_missing_role_is_told_by_its_account_and_asked_for_rarely(world, caplog):
    """One line names role and account; within half a minute STS is asked once, however many want to call."""
    (account,) = world.join(1)
    world.take_role(account)
    (member,) = identities([account])
    for _ in range(5):
        with pytest.raises(BadCredentials, match="role cannot be assumed") as caught:
            member.client("cloudtrail", "us-east-1").lookup_events()
    assert re.search(f"organization arn:aws:iam::{account}:role/{ROLE}", caught.value.where)
    assert len(fake_aws.served("sts.AssumeRole")) == 1
    assert [one.getMessage().split()[0] for one in caplog.records].count("account_refused") == 1


IN_ONE = Hop("organization", "arn:aws:iam::111111111111:role/r")


def disabled(**_):
    said = {"Error": {"Code": "RegionDisabledException", "Message": "STS is not activated in this region"}}
    raise ClientError(said, "AssumeRole")


def test_a_member_without_the_base_region_is_asked_for_where_all_accounts_are(monkeypatch):
    """Once that has helped, it is asked there alone: a refused call counts for STS as any other."""
    base, asked = Account("org", region="eu-south-2", link=SimpleNamespace(home="eu-south-2")), []

    def sts(region, answer):
        return SimpleNamespace(assume_role=lambda **told: asked.append(region) or answer(**told))

    ends = datetime.max.replace(tzinfo=UTC)
    keys = {"AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": ends}
    base.link.sts = sts("eu-south-2", disabled)
    monkeypatch.setattr(base, "client", lambda _, region: sts(region, lambda **_: {"Credentials": keys}))
    clients = SharedClients(base)
    for _ in range(2):
        assert clients.assume(IN_ONE, "here").access_key == "A"
    assert asked == ["eu-south-2", "us-east-1", "us-east-1"]


def test_a_region_that_is_disabled_everywhere_is_told(monkeypatch):
    """The second answer is no reason to ask there from now on."""
    sts = SimpleNamespace(assume_role=disabled)
    base = Account("org", region="eu-south-2", link=SimpleNamespace(home="eu-south-2", sts=sts))
    monkeypatch.setattr(base, "client", lambda *_: sts)
    clients = SharedClients(base)
    with pytest.raises(RegionDisabled):
        clients.assume(IN_ONE, "here")
    assert clients._elsewhere is None
