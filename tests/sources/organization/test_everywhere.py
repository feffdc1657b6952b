"""One API over all accounts of an organization: keys, regions, accounts that rest, administrators."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from sources.apis.poll import Page, Rest, Target
from sources.aws.account import Account, Credentials
from sources.errors import BadCredentials, Denied, SourceError, Transient
from sources.organization.accounts import MemberAccount
from sources.organization.directory import Directory, OrganizationScope
from sources.organization.everywhere import Administered, Everywhere, ServedApi

A, B, C = "111111111111", "222222222222", "333333333333"


class OneAccount:
    """The `Poll` of one account: a target in each of its regions."""

    name, period_seconds = "api", 60.0

    def __init__(self, account, regions, beginning):
        self.account, self.regions, self.beginning = account, regions, beginning
        self.fails = None
        self.refused = {}
        self.polled = []

    def targets(self):
        if self.fails:
            raise self.fails
        return [
            self.refused.get(region) or Target(region, self.account.account_id, region)
            for region in self.regions
        ]

    def pages(self, target, state):
        self.polled.append((target, state))
        yield Page((), {"v": 2, "done": 1})

    def recheck(self, *_):
        return iter(())


class World:
    """An organization without AWS: set its accounts and regions, and look at its polls."""

    def __init__(self):
        self.accounts = {A: "ACTIVE", B: "ACTIVE"}
        self.joined, self.polls = {}, {}
        self.regions = {A: {"eu-west-1"}, B: {"eu-west-1", "us-east-1"}, C: {"eu-west-1"}}
        self.refused, self.admins, self.covered, self.asked = set(), frozenset(), frozenset(), []
        base = Account("in", Credentials(access_key="AKIA", access_secret="x"), region="us-east-1")
        self.directory = Directory(base, OrganizationScope("reads", refresh_seconds=0))
        about = ServedApi("api", 60, Administered("some.amazonaws.com", "some:ListMembers", self.covers))
        self.poll = Everywhere(about, self.directory, self.make, threading.Event())

    def make(self, account, regions, beginning):
        self.polls[account.account_id] = OneAccount(account, regions, beginning)
        return self.polls[account.account_id]

    def covers(self, account, region):
        self.asked.append((account.account_id, region))
        if isinstance(self.covered, Exception):
            raise self.covered
        return self.covered

    def members(self, _selection):
        return [
            MemberAccount(number, f"name of {number}", state, self.joined.get(number))
            for number, state in self.accounts.items()
        ]

    def enabled(self, identity):
        if identity.account_id in self.refused:
            raise BadCredentials("role cannot be assumed", "here", "see that it exists", cause="here")
        return frozenset(self.regions[identity.account_id])

    def targets(self):
        for listed in self.poll._listed.values():
            listed.due = 0
        for known in self.directory._members.values():
            known.regions_until = 0
        return list(self.poll.targets())

    def listed(self):
        return [one.key for one in self.targets() if isinstance(one, Target)]


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(world.directory._organization, "members", world.members)
    monkeypatch.setattr(world.directory._organization, "administrators", lambda _principal: world.admins)
    monkeypatch.setattr("sources.organization.directory.enabled_regions", world.enabled)
    return world


def test_each_account_and_enabled_region_is_a_target(world):
    """The account stands in the key behind the region; the key that it had alone is told, too."""
    found = world.targets()
    assert [one.key for one in found] == [f"eu-west-1/{A}", f"eu-west-1/{B}", f"us-east-1/{B}"]
    assert {one.former for one in found} == {"eu-west-1", "us-east-1"}
    assert found[2].account == B
    assert world.polls[A].account.hops[-1].role == f"arn:aws:iam::{A}:role/reads"


def test_accounts_come_and_go(world):
    """What joins is found, what leaves is no more, and others' polls stay as they are."""
    world.targets()
    kept = world.polls[B]
    world.accounts = {B: "ACTIVE", C: "ACTIVE"}
    assert world.listed() == [f"eu-west-1/{B}", f"us-east-1/{B}", f"eu-west-1/{C}"]
    assert world.polls[B] is kept
    assert list(world.poll.pages(Target(f"eu-west-1/{A}", A, former="eu-west-1"), {})) == []


def test_a_suspended_account_rests(world):
    """It has no targets, and is told as resting: its positions are not taken as gone."""
    world.accounts[A] = "SUSPENDED"
    found = world.targets()
    assert Rest(A) in found
    assert not [one for one in found if isinstance(one, Target) and A in one.key]
    world.accounts[A] = "ACTIVE"
    assert f"eu-west-1/{A}" in world.listed()


def test_an_account_without_the_role_rests_and_comes_back(world):
    """The others go on; its targets of before stay. Who signs has told why."""
    world.refused = {A}
    (rest,) = [one for one in world.targets() if isinstance(one, Rest)]
    assert rest == Rest(A)
    world.refused = set()
    assert f"eu-west-1/{A}" in world.listed()
    world.refused = {A}  # its regions are known: what fails now is each poll
    assert f"eu-west-1/{A}" in world.listed()


def test_a_listing_that_fails_in_one_account_keeps_its_targets(world):
    """Another account's failure does not end an account's targets, nor its own."""
    world.targets()
    world.polls[A].fails = Transient("no", "there", "again")
    found = world.targets()
    assert [one.account for one in found if isinstance(one, Rest)] == [A]
    assert f"eu-west-1/{A}" in [one.key for one in found if isinstance(one, Target)]


@pytest.mark.parametrize("partly", [False, True])
def test_a_poll_made_anew_polls_nothing_before_it_has_listed_it(world, monkeypatch, partly):
    """It would not know since when a log group is there, and begin with now."""
    world.targets()
    kept, target = world.polls[B], Target(f"eu-west-1/{B}", B, former="eu-west-1")
    world.regions[B] = {"eu-west-1", "us-east-1", "us-west-2"}

    def fails(poll):
        if not partly:
            raise Transient("no", "there", "again")
        yield from (Target(one, B, one) for one in poll.regions if one != "eu-west-1")
        yield Transient("no", "eu-west-1", "again")

    with monkeypatch.context() as patch:
        patch.setattr(OneAccount, "targets", fails)
        found = world.targets()
        assert B in {one.account for one in found if isinstance(one, Rest)}
    listed = f"eu-west-1/{B}" in [one.key for one in found if isinstance(one, Target)]
    assert listed is not partly
    if listed:
        assert list(world.poll.pages(target, {}))
        assert len(kept.polled) == 1
    assert {f"{one}/{B}" for one in world.regions[B]} <= set(world.listed())
    assert list(world.poll.pages(target, {}))
    assert len(world.polls[B].polled) == 1


def test_a_young_account_is_read_from_its_joining_on(world):
    """What happened between its joining and its discovery is read; of an older one what comes from now on."""
    joined = datetime.now(UTC) - timedelta(hours=2)
    world.joined = {A: joined, B: joined - timedelta(days=2)}
    world.targets()
    assert (world.polls[A].beginning, world.polls[B].beginning) == (joined, None)


def test_an_account_is_polled_by_its_own_strategy(world):
    """It sees the key that it would have alone."""
    (first, *_) = world.targets()
    assert list(world.poll.pages(first, {"v": 2}))
    assert world.polls[A].polled[0][0].key == "eu-west-1"


def test_what_an_administrator_has_is_read_there(world):
    """Accounts that it covers in a region have no target of their own in it; those that it does not have."""
    world.accounts[C] = "ACTIVE"
    world.admins, world.covered = frozenset({A}), frozenset({B})
    assert world.listed() == [f"eu-west-1/{A}", f"us-east-1/{B}", f"eu-west-1/{C}"]


def test_what_an_administrator_has_is_asked_once_a_refresh(world):
    """In each region a call or two: not in each listing, but at once for an account that has joined."""
    world.directory.scope = OrganizationScope("reads", refresh_seconds=3600)
    world.admins, world.covered = frozenset({A}), frozenset({B})
    before = world.listed()
    assert world.listed() == before
    assert world.asked == [(A, "eu-west-1")]
    world.accounts[C], world.covered, world.directory._due = "ACTIVE", frozenset({B, C}), 0
    assert world.listed() == before
    assert world.asked == [(A, "eu-west-1")] * 2
    world.poll._coverage = replace(world.poll._coverage, due=0.0)
    world.listed()
    assert len(world.asked) == 3


def test_while_nobody_knows_what_an_administrator_has_the_others_rest_in_its_regions(world):
    """Read by both, each finding would come twice."""
    world.admins = frozenset({A})
    world.covered = Denied("no guardduty:ListMembers", "there", "allow it")
    assert world.listed() == [f"eu-west-1/{A}", f"us-east-1/{B}"]


def test_while_an_administrator_lets_nobody_in_who_may_be_covered_rests(world):
    """Nobody knows its regions: other administrators go on, and everybody once it lets us in."""
    world.accounts[C] = "ACTIVE"
    world.admins, world.refused = frozenset({A, C}), {A}
    found = world.targets()
    assert [one.key for one in found if isinstance(one, Target)] == [f"eu-west-1/{C}"]
    assert {one.account for one in found if isinstance(one, Rest)} == {A, B}
    world.refused, world.covered = set(), frozenset({B})
    assert world.listed() == [f"eu-west-1/{A}", f"us-east-1/{B}", f"eu-west-1/{C}"]


def test_while_nobody_knows_the_administrators_the_listing_is_told_as_not_whole(world, monkeypatch):
    """Accounts that were found before go on, as after each listing that fails in part; new ones rest."""
    known = world.directory._organization.administrators

    def fails(_principal):
        raise Transient("down", "organizations", "again")

    monkeypatch.setattr(world.directory._organization, "administrators", fails)
    for _ in range(2):  # they stay due
        found = list(world.poll.targets())
        assert {one.account for one in found if isinstance(one, Rest)} == {A, B}
        assert [type(one) for one in found if not isinstance(one, Rest)] == [Transient]
    monkeypatch.setattr(world.directory._organization, "administrators", known)
    assert len([one for one in world.poll.targets() if isinstance(one, Target)]) == 3


def test_a_listing_that_fails_uses_the_accounts_of_before(world, monkeypatch):
    """An outage of Organizations stops nobody; it is told."""
    before = world.listed()

    def fails(_selection):
        raise Transient("down", "organizations", "again")

    monkeypatch.setattr(world.directory._organization, "members", fails)
    found = world.targets()
    assert [one.key for one in found if isinstance(one, Target)] == before
    assert [type(one) for one in found if not isinstance(one, Target | Rest)] == [Transient]


@pytest.mark.parametrize(
    ("error", "patient"),
    [
        (Denied("explicit deny in a service control policy", "eu-west-1", "lift it"), True),
        (Transient("no", "eu-west-1", "again"), False),
        (BadCredentials("role cannot be assumed", "eu-west-1", "see that it exists"), False),
    ],
)
def test_a_region_that_is_denied_is_listed_again_when_all_is(world, error, patient):
    """ListRegions shows a region that a service control policy denies, and CloudTrail every denial."""
    world.directory.scope = OrganizationScope("reads", refresh_seconds=3600)
    world.targets()
    world.polls[B].refused = {"eu-west-1": error}
    before = time.monotonic()
    found = world.targets()
    assert [one for one in found if isinstance(one, Rest)] == [Rest(B, error)]
    assert (world.poll._listed[B].due - before > 1000) is patient
    assert f"us-east-1/{B}" in [one.key for one in found if isinstance(one, Target)]


def test_each_region_that_is_denied_is_told(world):
    """Not the first alone."""
    world.targets()
    denied = {region: Denied("no", region, "lift it") for region in ("eu-west-1", "us-east-1")}
    world.polls[B].refused = denied
    assert [one.error for one in world.targets() if isinstance(one, Rest)] == list(denied.values())


def test_the_management_account_may_be_an_administrator(world):
    """ListDelegatedAdministrators never names it."""
    world.directory._organization.management = A
    world.covered = frozenset({B})
    assert world.listed() == [f"eu-west-1/{A}", f"us-east-1/{B}"]
    assert world.asked == [(A, "eu-west-1")]


@pytest.mark.parametrize(
    "error", [BadCredentials("no role", "there", "make it"), SourceError("BadRequest", "there", "correct it")]
)
def test_nobody_waits_for_a_management_account_that_administers_nobody(world, error):
    """StackSets leave it without a role; and it may be a member as others are."""
    world.directory._organization.management = A
    world.covered = error
    assert world.listed() == [f"eu-west-1/{A}", f"eu-west-1/{B}", f"us-east-1/{B}"]


def test_nobody_waits_for_a_management_account_without_a_role(world):
    """Its regions are not even known."""
    world.directory._organization.management, world.refused = A, {A}
    assert world.listed() == [f"eu-west-1/{B}", f"us-east-1/{B}"]


def test_a_delegated_administrator_goes_on_while_the_management_account_does_not_answer(world):
    """It is read in any case: what it has is not had by another."""
    world.directory._organization.management, world.admins = A, frozenset({B})
    world.covered = Transient("down", "there", "again")
    assert f"eu-west-1/{B}" in world.listed()


def test_what_an_administrator_does_not_tell_is_told_in_each_listing(world):
    """It is not over because nothing was due."""
    world.admins, world.covered = frozenset({A}), Denied("no guardduty:ListMembers", "there", "allow it")
    world.targets()
    world.directory._due = float("inf")
    for listed in world.poll._listed.values():
        listed.due = float("inf")
    assert [one.error for one in world.poll.targets() if isinstance(one, Rest)] == [world.covered]
