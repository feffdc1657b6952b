"""Accounts of an organization: which are wanted, what AWS tells of them and of their regions."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from sources.aws.account import Account, Credentials
from sources.errors import Denied, Missing, SourceError, Transient
from sources.organization.accounts import (
    AccountSelection,
    MemberAccount,
    Organization,
    choose,
    enabled_regions,
    listed,
)
from tests.fakes.fake_aws import server as fake_aws

ROOT, UNIT, OTHER = "r-abcd", "ou-abcd-11111111", "ou-abcd-22222222"
EVERYONE = [MemberAccount(f"{n:012d}", f"account {n}", "ACTIVE") for n in range(1, 7)]
BELOW = {
    ROOT: frozenset(one.number for one in EVERYONE),
    UNIT: frozenset(one.number for one in EVERYONE[:3]),
    OTHER: frozenset(one.number for one in EVERYONE[2:5]),
}


def numbers(*of: int) -> list[str]:
    return [f"{n:012d}" for n in of]


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ((), (), (1, 2, 3, 4, 5, 6)),
        ((ROOT,), (), (1, 2, 3, 4, 5, 6)),
        ((UNIT,), (), (1, 2, 3)),
        ((UNIT, OTHER), (), (1, 2, 3, 4, 5)),
        ((UNIT,), (OTHER,), (1, 2)),
        ((UNIT, *numbers(6)), numbers(2), (1, 3, 6)),
        ((), (ROOT,), ()),
        (numbers(3), (UNIT,), ()),
        (numbers(99), (), ()),
    ],
)
def test_which_accounts_are_wanted(include, exclude, wanted):
    """Numbers, units and roots add up; what is excluded is so whatever includes it."""
    found = choose(EVERYONE, BELOW, AccountSelection(tuple(include), tuple(exclude)))
    assert [one.number for one in found] == numbers(*wanted)


named = st.lists(st.sampled_from([*numbers(1, 2, 3, 4, 5, 6), UNIT, OTHER, ROOT]), max_size=5).map(tuple)


@given(named, named)
def test_nobody_excluded_is_chosen(include, exclude):
    """No account is chosen that exclude names, by number or unit, and none that include does not."""
    chosen = {one.number for one in choose(EVERYONE, BELOW, AccountSelection(include, exclude))}
    out = {n for one in exclude for n in BELOW.get(one, {one})}
    into = {n for one in include for n in BELOW.get(one, {one})} if include else BELOW[ROOT]
    assert chosen == into - out


def test_what_is_no_account_and_no_unit_is_named():
    """A name that can be nothing is told before AWS is asked."""
    assert AccountSelection(("prod", UNIT, *numbers(1)), ("ou-x",)).strange == ("prod", "ou-x")
    assert AccountSelection((UNIT, UNIT), (OTHER, *numbers(1))).parents == (UNIT, OTHER)


@pytest.fixture
def organization(monkeypatch):
    """Return moto's organization, its management account's client and what asks it."""
    fake_aws.reset()
    with fake_aws.FakeAws() as aws:
        for name, value in fake_aws.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        client = boto3.client("organizations", region_name="us-east-1", endpoint_url=aws.url)
        client.create_organization(FeatureSet="ALL")
        keys = Credentials(access_key=fake_aws.ACCOUNT, access_secret="secret")
        yield SimpleNamespace(client=client, reads=Organization(Account("all", keys)))


def member(client, number: int, parent: str = "") -> str:
    made = client.create_account(AccountName=f"account {number}", Email=f"{number}@example.com")
    found = made["CreateAccountStatus"]["AccountId"]
    if parent:
        root = client.list_roots()["Roots"][0]["Id"]
        client.move_account(AccountId=found, SourceParentId=root, DestinationParentId=parent)
    return found


def unit(client, name: str, parent: str) -> str:
    made = client.create_organizational_unit(ParentId=parent, Name=name)
    return made["OrganizationalUnit"]["Id"]


def test_accounts_come_with_their_units(organization):
    """A unit brings its accounts and those of the units under it; all pages are read."""
    client = organization.client
    root = client.list_roots()["Roots"][0]["Id"]
    workloads = unit(client, "workloads", root)
    prod = unit(client, "prod", workloads)
    alone = member(client, 0)
    inside = [member(client, n, workloads) for n in range(1, 4)] + [member(client, n, prod) for n in (4, 5)]
    found = organization.reads.members(AccountSelection((workloads,)))
    assert [one.number for one in found] == sorted(inside)
    assert {one.name for one in found} == {f"account {n}" for n in range(1, 6)}
    assert all(one.active for one in found)
    everyone = {one.number for one in organization.reads.members(AccountSelection())}
    assert everyone >= {alone, *inside}
    without = organization.reads.members(AccountSelection((workloads, alone), (prod,)))
    assert {one.number for one in without} == {alone, *inside[:3]}


def test_a_unit_that_is_not_there_is_told(organization):
    """A unit that was deleted, or mistyped, is named."""
    with pytest.raises(SourceError) as caught:
        organization.reads.members(AccountSelection((UNIT,)))
    assert isinstance(caught.value, Missing)
    assert UNIT in caught.value.where


def test_regions_by_ec2_where_the_account_api_is_denied(organization):
    """Who may not account:ListRegions asks ec2:DescribeRegions."""
    account = organization.reads._account
    real = account.client

    class Refuses:
        def list_regions(self, **_):
            said = {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {}}
            raise ClientError(said, "ListRegions")

    account.client = lambda service, region: Refuses() if service == "account" else real(service, region)
    assert "eu-west-1" in enabled_regions(account)


class Pages:
    """An API that answers its pages one after the other."""

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    def list_regions(self, **asked):
        self.asked.append(asked)
        return self.replies.pop(0)


def regions(*replies):
    return enabled_regions(SimpleNamespace(where="input a", client=lambda *_: Pages(*replies)))


def told(name: str, status: str) -> dict[str, str]:
    return {"RegionName": name, "RegionOptStatus": status}


def test_only_enabled_regions_count():
    """A region that is being switched on or off is left out until it is on."""
    first = [told("eu-west-1", "ENABLED_BY_DEFAULT"), told("af-south-1", "ENABLING")]
    second = [told("me-south-1", "ENABLED"), told("ap-east-1", "DISABLED")]
    found = regions(
        {"Regions": first, "NextToken": "t"}, {"Regions": [], "NextToken": "u"}, {"Regions": second}
    )
    assert found == {"eu-west-1", "me-south-1"}


@pytest.mark.parametrize(
    "replies",
    [({},), ({"Regions": []},), ({"Regions": [], "NextToken": "t"},) * 3],
    ids=["hollow", "none", "endless"],
)
def test_h19_what_cannot_be_is_asked_again(replies):
    """A hollow reply, no region at all, or pages without an end are no answer."""
    with pytest.raises(Transient):
        regions(*replies)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"State": "ACTIVE", "Status": "ACTIVE"}, "ACTIVE"),
        ({"Status": "SUSPENDED"}, "SUSPENDED"),
        ({"State": "PENDING_CLOSURE"}, "PENDING_CLOSURE"),
    ],
)
def test_the_state_is_read_by_either_name(said, state):
    """AWS calls it State now and Status before."""
    reply = {"Accounts": [{"Id": "123456789012", "Name": "a", **said}]}
    client = SimpleNamespace(list_accounts=lambda **_: reply)
    account = SimpleNamespace(where="input a", client=lambda *_: client)
    (found,) = Organization(account).members(AccountSelection())
    assert found.state == state
    assert found.active is (state == "ACTIVE")


def test_a_refusal_names_the_action():
    """Who may not list the accounts learns which action is lacking."""

    def refuse(**_):
        said = {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {}}
        raise ClientError(said, "ListAccounts")

    with pytest.raises(Denied, match="organizations:ListAccounts"):
        list(
            listed(
                SimpleNamespace(list_accounts=refuse),
                "ListAccounts",
                "Accounts",
                "here",
                "organizations:ListAccounts",
            )
        )


def test_the_management_account_is_known_from_the_accounts(organization):
    """Each account's ARN names it; no call is made for it, and none is known before."""
    assert organization.reads.management == ""
    organization.reads.members(AccountSelection())
    assert organization.reads.management == fake_aws.ACCOUNT


def test_what_a_selection_leaves_out_is_known(organization):
    """Accounts that were listed and not chosen, and those excluded by number; of others nothing is known."""
    first, second = (member(organization.client, number) for number in range(2))
    organization.reads.members(AccountSelection((first, second), (second, "999999999999")))
    assert organization.reads.left_out == {fake_aws.ACCOUNT, second, "999999999999"}
