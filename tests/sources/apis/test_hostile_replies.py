"""Replies and clocks that nobody listed: a page that follows itself, a clock that is ahead, large events."""

import json
import threading
from collections import Counter
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from sources.apis.poll import Target
from sources.errors import Missing, Transient
from tests.sources.apis.test_lateness import GROUP, HOUR, MINUTE, START, Logs, live, logs
from tests.sources.listed.test_recheck import POLLS, UNLIMITED, World


class Echo(World):
    """APIs whose pages all name themselves as the next one."""

    def __getattribute__(self, name: str) -> object:
        found = object.__getattribute__(self, name)
        if not name.startswith(("lookup_", "filter_", "list_")):
            return found

        def answer(**asked):
            asked.pop("nextToken", None), asked.pop("NextToken", None)
            return {**found(**asked), "nextToken": "same", "NextToken": "same"}

        return answer


@pytest.mark.parametrize("service", POLLS)
def test_a_page_that_follows_itself_is_an_error(service):
    """A token that comes again would be followed for ever, in silence: it is told, and the position stays."""
    make, _, key = POLLS[service]
    aws = Echo()
    aws.now += HOUR
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda *_: aws
    )
    poll = make(account, UNLIMITED, threading.Event(), lambda: aws.now)
    target = Target(key, "123456789012", "eu-west-1", key.partition("/")[2])

    def follow(state: dict) -> None:
        for _ in range(3):
            for page in poll.pages(target, state):
                state = page.state
            aws.now += HOUR

    with pytest.raises(Transient, match="names itself"):
        follow({})


class Dated(Logs):
    """CloudWatch Logs whose replies bear AWS's time, as real ones do."""

    def filter_log_events(self, **asked):
        headers = {"date": formatdate(self.now / 1000, usegmt=True)}
        return {**super().filter_log_events(**asked), "ResponseMetadata": {"HTTPHeaders": headers}}


@pytest.mark.parametrize("ahead", [-5 * MINUTE, 0, 5 * MINUTE])
def test_r20_a_clock_that_is_ahead_loses_nothing_of_a_dense_group(ahead, monkeypatch):
    """What was ingested after a reading is no old news, whatever this machine's clock says."""
    monkeypatch.setattr("sources.apis.cloudwatch_logs._MOST_IDS", 1_000)
    aws = Dated(page=1_000)
    aws.ahead = ahead
    run = logs(aws)
    live(run, START + 10 * MINUTE)
    begin = aws.now + abs(ahead)
    ids = [
        aws.put(begin + n * 500, begin + n * 500 + (240_000 if n % 5 == 0 else 1_000)) for n in range(14_400)
    ]
    live(run, START + 4 * HOUR)
    assert set(run.got) == set(ids)
    assert ahead or run.got == Counter(ids)


def test_events_of_a_mebibyte_are_whole():
    """PutLogEvents takes messages of 1 MB: with the envelope they are more, and come through unchanged."""
    aws = Logs()
    run = logs(aws)
    run.once(GROUP, "eventId")
    text = ('"\\\n\u2028é' * 210_000)[: 1 << 20]
    aws.put(START + MINUTE, START + MINUTE + 500, text)
    aws.now += 10 * MINUTE
    blocks = [block for page in run.poll.pages(GROUP, run.state) for block in page.items]
    (found,) = [json.loads(line) for block in blocks for line in block.payload.splitlines()]
    assert found["message"] == text


def test_a_group_deleted_in_mid_window_goes_on_when_it_is_there_again():
    """Gone between two pages: the first time nothing is said, then it is told; its position stays."""
    aws = Logs(page=10)
    run = logs(aws)
    run.once(GROUP, "eventId")
    ids = [aws.put(START + n * 1000, START + n * 1000) for n in range(60)]
    aws.now += 10 * MINUTE
    whole, gone = aws.filter_log_events, Missing("gone", "/g", "none")

    def vanish(**asked):
        if asked.get("nextToken", "0") >= "30":
            raise gone
        return whole(**asked)

    aws.filter_log_events = vanish
    run.once(GROUP, "eventId")
    assert len(run.got) == 30
    with pytest.raises(Missing):
        run.once(GROUP, "eventId")
    aws.filter_log_events = whole
    run.once(GROUP, "eventId")
    assert run.got == Counter(ids)


@pytest.mark.parametrize("hours", [0.5, 2])
def test_events_stamped_in_the_future_come_when_their_time_has(hours):
    """PutLogEvents takes events up to two hours ahead of their time; each comes once."""
    aws = Logs()
    run = logs(aws)
    ids = []
    for n in range(40):
        at = START + n * 5 * MINUTE
        ids.append(aws.put(at + int(hours * HOUR), at))
        ids.append(aws.put(at, at + 500))
    live(run, START + 8 * HOUR)
    assert run.got == Counter(ids)
