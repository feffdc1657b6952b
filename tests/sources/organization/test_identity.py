"""Roles in many accounts over shared clients: each call is signed by the account that makes it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from sources.aws.account import Account, Credentials
from sources.aws.credentials import Hop
from sources.errors import BadCredentials
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
