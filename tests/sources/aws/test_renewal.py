"""Credentials that renew themselves: when they are fetched, by whom, and what an outage costs."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from sources.aws import renewal
from sources.aws.renewal import RenewedCredentials, SessionKeys
from sources.errors import BadCredentials, IdentityAbsent
from transforms.telemetry import listen, unlisten

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Source:
    """A source of keys that counts who asks, with a clock of its own; `fails` is raised instead."""

    def __init__(self, lasting: timedelta | None = timedelta(hours=1)) -> None:
        self.now, self.lasting, self.asked = BEGIN, lasting, 0
        self.fails: Exception | None = None
        self.credentials = RenewedCredentials(self.fetch, "input a, credentials", lambda: self.now)

    def fetch(self) -> SessionKeys:
        self.asked += 1
        if self.fails:
            raise self.fails
        ends = self.now + self.lasting if self.lasting else None
        return SessionKeys(f"key-{self.asked}", "secret", "token", ends)

    def key(self) -> str:
        return self.credentials.get_frozen_credentials().access_key


@pytest.fixture
def told():
    heard = []

    def hear(event, _fields):
        if event.startswith("identity_"):
            heard.append(event)

    listen(hear)
    yield heard
    unlisten(hear)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(renewal, "MIN_INTERVAL_SECONDS", 0.0)


def test_keys_are_fetched_once_until_their_end_comes_near():
    """Keys of an hour are used for half of it at least, and fetched anew before its last quarter."""
    source = Source()
    assert source.key() == "key-1"
    source.now += timedelta(minutes=30)
    assert source.key() == "key-1"
    source.now += timedelta(minutes=15)
    assert source.key() == "key-2"


def test_many_sessions_that_began_together_are_not_renewed_together():
    """Of a thousand roles no minute renews more than a fifth: a quarter of an hour holds them all."""
    keys = SessionKeys("a", "s", "t", BEGIN + timedelta(hours=1))
    begins = Counter((renewal._held(keys, BEGIN).early - BEGIN) // timedelta(minutes=1) for _ in range(1000))
    assert min(begins) >= 30
    assert max(begins) <= 45
    assert max(begins.values()) < 200


def test_fixed_keys_are_fetched_again_only_when_told(impatient):
    """Keys without an end stay until AWS has called them over."""
    source = Source(None)
    source.key()
    source.now += timedelta(days=900)
    assert source.key() == "key-1"
    source.credentials.renew("ExpiredToken")
    assert source.key() == "key-2"


def test_an_outage_costs_nothing_while_the_old_keys_last(told):
    """A source that fails near the end is asked seldom; the old keys serve to a minute before their end."""
    source = Source()
    source.key()
    source.fails = IdentityAbsent("none", "input a, credentials", "wait", cause="input a, credentials")
    source.now += timedelta(minutes=50)
    assert [source.key() for _ in range(20)] == ["key-1"] * 20
    assert source.asked == 2
    assert told == []
    source.now += timedelta(minutes=9, seconds=30)
    with pytest.raises(IdentityAbsent):
        source.key()
    assert told == ["identity_failed"]


def test_one_thread_renews_and_the_others_go_on():
    """While one thread waits for new keys, the others sign with the old ones."""
    source = Source()
    source.key()
    source.now += timedelta(minutes=50)
    entered, go_on = threading.Event(), threading.Event()
    plain = source.fetch

    def slow() -> SessionKeys:
        entered.set()
        assert go_on.wait(30)
        return plain()

    source.credentials._fetch = slow
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(source.key)
        assert entered.wait(30)
        assert source.key() == "key-1"
        go_on.set()
        assert renewing.result(30) == "key-2"


def test_r22_absence_is_told_once_and_asked_again(impatient, told):
    """An identity that comes late is asked for each time; its absence and its coming are told once."""
    source = Source()
    source.fails = IdentityAbsent("none", "input a, credentials", "wait", cause="input a, credentials")
    for _ in range(5):
        with pytest.raises(IdentityAbsent):
            source.key()
    assert source.asked == 5
    source.fails = None
    assert source.key() == "key-6"
    assert told == ["identity_failed", "identity_recovered"]


def test_a_refusal_is_everybodys_answer_for_a_while():
    """Sixty callers at once ask a source that refuses once."""
    source = Source()
    source.fails = BadCredentials("no", "here", "mend it")

    def fails(_) -> bool:
        with pytest.raises(BadCredentials):
            source.key()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fails, range(60)))
    assert source.asked == 1


def test_r22_keys_that_aws_calls_over_are_told_once(impatient, told):
    """A forced renewal that brings other keys is one line."""
    source = Source()
    source.key()
    source.credentials.renew("ExpiredToken")
    source.key()
    assert told == ["identity_renewed"]


def test_thousand_identities_renew_spread():
    """Sessions that began together are not renewed together: their renewals spread over minutes."""
    due = [
        renewal._held(SessionKeys("a", "b", "c", BEGIN + timedelta(hours=1)), BEGIN).early
        for _ in range(1000)
    ]
    minutes = [int((one - BEGIN).total_seconds() // 30) for one in due if one]
    assert max(minutes.count(one) for one in set(minutes)) < 250
    assert len(set(minutes)) > 5
