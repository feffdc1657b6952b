"""Fifty processes on many machines share one account's rates, and see of each other only AWS's refusals."""

import heapq
import random

import pytest

from sources.apis.poll import pause_after
from sources.aws.limiter import Bucket, Chain, YieldingBucket
from sources.errors import Throttled

_SECONDS = 4 * 3600.0


class Quota:
    """What AWS allows to all who ask together: a token bucket of one second."""

    def __init__(self, per_second):
        self.per_second, self.tokens, self.at = per_second, per_second, 0.0

    def allows(self, now):
        self.tokens = min(self.tokens + (now - self.at) * self.per_second, self.per_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Process:
    """A process with more to ask than it may: it asks whenever its turn comes, and rests when refused."""

    def __init__(self, per_second, now, chance):
        self.now, self.chance = now, chance
        rate = 0.8 * per_second
        self.bucket = Chain([YieldingBucket(rate, self._clock), Bucket(rate, clock=self._clock)])
        self.allowed = self.asked = self.failures = 0

    def _clock(self):
        return self.now

    def ask(self, now, quota):
        """Ask AWS now; return when it asks next."""
        self.now = now
        rest = 0.0
        late = now > _SECONDS / 2  # what comes before is the way there
        self.asked += late
        if quota.allows(now):
            self.allowed, self.failures = self.allowed + late, 0
        else:
            self.failures += 1
            self.bucket.throttled()
            rest = pause_after(Throttled("x", "y", "z"), self.failures, 1.0, self.chance.random())
        self.now = now + rest
        return self.now + self.bucket.reserve()


@pytest.mark.parametrize(("api", "per_second"), [("LookupEvents", 2.0), ("FilterLogEvents", 5.0)])
def test_s10_fifty_processes_share_a_quota(figures, api, per_second):
    """Together they ask for no more than the quota, none of them starves, and newcomers get their part."""
    chance = random.Random(7)
    quota = Quota(per_second)
    processes = [Process(per_second, 0.0, chance) for _ in range(50)]
    line = [(chance.random() * (1 if number < 40 else 600), number) for number in range(50)]
    heapq.heapify(line)
    while (first := heapq.heappop(line))[0] < _SECONDS:
        now, number = first
        heapq.heappush(line, (processes[number].ask(now, quota), number))
    allowed = sum(one.allowed for one in processes) / (_SECONDS / 2)
    asked = sum(one.asked for one in processes) / (_SECONDS / 2)
    shares = sorted(one.allowed * 50 / (_SECONDS / 2) / per_second for one in processes)
    figures(
        f"50 processes, {api} {per_second:g}/s: {allowed:.2f}/s answered, {asked:.2f}/s asked; "
        f"shares of the fair one: least {shares[0]:.2f}, median {shares[25]:.2f}, most {shares[-1]:.2f}"
    )
    assert allowed <= asked < 1.02 * per_second
    assert allowed > 0.5 * per_second
    assert shares[0] > 0.2


def test_alone_it_asks_at_the_whole_rate():
    """Who is not refused is not held up; a single refusal is over after some hundred requests."""
    now = 0.0
    bucket = YieldingBucket(2.0, lambda: now)
    assert [bucket.reserve() for _ in range(100)] == [0.0] * 100
    bucket.throttled()
    bucket.throttled()
    assert bucket.rate == pytest.approx(1.4)
    for _ in range(500):
        now += bucket.reserve()
    assert bucket.rate == 2.0
