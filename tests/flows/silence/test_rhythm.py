"""What is usual, and when a pause is too long for it."""

import resource
import time

import pytest

from flows.silence import rhythm as module
from flows.silence.pauses import HOUR_MINUTES, WEEK_MINUTES
from flows.silence.rhythm import Rhythms
from tests.flows.silence.simulation import MOST, simulate, told

DAY = 24 * HOUR_MINUTES


def lived(every, weeks, working=lambda _minute: True):
    """Return what is learned of a scope of which something comes so often."""
    rhythms = Rhythms()
    for minute in range(0, weeks * WEEK_MINUTES, every):
        if working(minute):
            rhythms.hear(["a"], minute)
    return rhythms


def fallen(rhythms, start, end):
    """Return when it is told, None = not in this time."""
    return next((minute for minute in range(start, end) if rhythms.look(minute)), None)


def test_what_comes_every_five_minutes_is_missed_soon():
    """A pause of twice the usual is told, once; when something comes it is over."""
    rhythms, end = lived(5, 3), 3 * WEEK_MINUTES
    assert 5 < fallen(rhythms, end, end + DAY) - (end - 5) <= 11
    assert fallen(rhythms, end + DAY, end + 2 * DAY) is None
    assert rhythms.hear(["a"], end + 2 * DAY) == ["a"]
    assert rhythms.silent == {}


def test_what_comes_once_a_day_is_missed_after_two():
    """A daily report has no hour of its own in which it is late by chance."""
    end = 3 * WEEK_MINUTES
    assert DAY < fallen(lived(DAY, 3), end, end + 5 * DAY) - (end - DAY) <= 2 * DAY + HOUR_MINUTES


def test_nights_are_usual():
    """What comes in working hours only is not missed in a night, and in the morning soon."""

    def working(minute):
        return 8 * HOUR_MINUTES <= minute % DAY < 18 * HOUR_MINUTES

    rhythms, end = lived(10, 4, working), 4 * WEEK_MINUTES
    assert fallen(rhythms, end, end + 8 * HOUR_MINUTES) is None
    assert fallen(rhythms, end + 8 * HOUR_MINUTES, end + 10 * HOUR_MINUTES)


def office(minute):
    return 8 * HOUR_MINUTES <= minute % DAY < 18 * HOUR_MINUTES


def test_a_pause_over_a_night_is_two():
    """What comes once an hour of the day is missed after two; in the evening, after two of the morning."""
    noon = 6 * WEEK_MINUTES + 12 * HOUR_MINUTES
    rhythms = lived(HOUR_MINUTES, 6, office)
    for minute in range(noon - 4 * HOUR_MINUTES, noon + 1, HOUR_MINUTES):
        rhythms.hear(["a"], minute)
    assert HOUR_MINUTES < fallen(rhythms, noon, noon + DAY) - noon <= 2 * HOUR_MINUTES
    evening = noon + 5 * HOUR_MINUTES
    for minute in range(noon + HOUR_MINUTES, evening + 1, HOUR_MINUTES):
        rhythms.hear(["a"], minute)
    told = fallen(rhythms, evening, evening + DAY) - evening
    assert 16 * HOUR_MINUTES < told <= 18 * HOUR_MINUTES


def test_what_comes_four_times_a_day_is_missed_by_night_too():
    """Five hours without anything are no night for it: it is told within twice its longest pause."""
    rhythms, end = lived(6 * HOUR_MINUTES, 6), 6 * WEEK_MINUTES
    told = fallen(rhythms, end, end + 2 * DAY) - (end - 6 * HOUR_MINUTES)
    assert 6 * HOUR_MINUTES < told <= 13 * HOUR_MINUTES


def test_nobody_is_looked_at_before_he_may_be_silent(monkeypatch):
    """A look each minute costs nothing for those who come, however many they are."""
    rhythms, end, reckoned = lived(5, 3), 3 * WEEK_MINUTES, []
    deadline = Rhythms._deadline

    def counted(self, number, last):
        reckoned.append(last)
        return deadline(self, number, last)

    monkeypatch.setattr(Rhythms, "_deadline", counted)
    for minute in range(end, end + DAY):
        rhythms.look(minute)
        if minute % 5 == 0:
            rhythms.hear(["a"], minute)
    assert len(reckoned) <= DAY / 5 + 1


def test_what_comes_more_often_is_missed_sooner():
    """A scope of which nothing was known, or came once a week, is looked at again soon."""
    rhythms, end = Rhythms(), 8 * WEEK_MINUTES
    for minute in range(end):
        rhythms.look(minute)
        if minute % (5 if minute >= 4 * WEEK_MINUTES else WEEK_MINUTES) == 0:
            rhythms.hear(["a"], minute)
    assert fallen(rhythms, end, end + WEEK_MINUTES) - end <= DAY


def test_nothing_is_told_before_two_weeks_are_known():
    """A new account that stops at once was a try."""
    assert fallen(lived(5, 1), WEEK_MINUTES, 3 * WEEK_MINUTES) is None


def test_what_came_once_is_told_after_ten_weeks():
    """Nothing is known of it, and whoever asks what was usual is answered."""
    rhythms, end = Rhythms(), 10 * WEEK_MINUTES
    rhythms.hear(["a"], 0)
    assert fallen(rhythms, 0, end) is None
    assert rhythms.look(end) == [("a", end)]
    assert rhythms.usual("a") > 0


def test_one_outage_does_not_hide_the_next():
    """A pause that was told counts as little longer than the longest before."""
    rhythms, at = lived(5, 3), 3 * WEEK_MINUTES
    first = fallen(rhythms, at, at + DAY) - at
    for minute in range(at + DAY, at + 2 * DAY, 5):
        rhythms.hear(["a"], minute)
    end = at + 2 * DAY
    assert fallen(rhythms, end, end + DAY) - end <= 2 * first + 10


def test_while_nothing_can_come_nothing_is_missed():
    """An outage of the outputs begins all pauses anew."""
    rhythms, end = lived(5, 3), 3 * WEEK_MINUTES
    rhythms.skip(end + DAY)
    assert rhythms.look(end + DAY) == []
    assert fallen(rhythms, end + DAY, end + 2 * DAY)


def test_what_was_learned_survives_a_restart():
    """From the state the same is told; one of another form is refused."""
    end = 3 * WEEK_MINUTES
    state = lived(5, 3).state()
    assert fallen(Rhythms.restored(state, end), end, end + DAY) - end <= 11
    for broken in ({**state, "v": 1}, {**state, "rates": b""}, {**state, "gaps": b"1234"}):
        with pytest.raises(ValueError, match=r"."):
            Rhythms.restored(broken, end)


def test_scopes_are_bounded(monkeypatch):
    """Accounts that somebody makes up are not learned beyond a number; those known go on."""
    monkeypatch.setattr(module, "MOST_SCOPES", 10)
    rhythms = Rhythms()
    rhythms.hear([str(number) for number in range(30)], 0)
    assert (len(rhythms.numbers), rhythms.left_out) == (10, 20)


def test_clocks_that_are_put_back_are_no_silence():
    """Who works from eight to six does so an hour later from one Monday on, and an hour earlier in spring."""
    rhythms, told = Rhythms(), []
    for minute in range(12 * WEEK_MINUTES):
        hour = (minute - HOUR_MINUTES * (6 <= minute // WEEK_MINUTES < 10)) % DAY // HOUR_MINUTES
        if 8 <= hour < 18 and minute % 5 == 0:
            rhythms.hear(["a"], minute)
        told += rhythms.look(minute)
    assert told == []


@pytest.mark.parametrize(
    ("count", "weeks", "planted"), [(60, 20, 25), pytest.param(4000, 26, 400, marks=pytest.mark.full)]
)
@pytest.mark.timeout(7200)
def test_planted_silences_are_told_in_time_and_hardly_another(figures, count, weeks, planted):
    """Each within twice what is usual, as far as clocks are known; under one false alarm in 1,000 months."""
    found = simulate(count, weeks, planted=planted)
    figures(f"{count} scopes, {weeks} weeks: {told(found)}")
    assert (found.told, found.late) == (planted, 0)
    assert found.most <= MOST
    assert len(found.clocks) <= planted / 100
    assert found.false_alarms < max(found.scope_months / 1000, 1)


def test_a_hundred_thousand_scopes_fit(figures):
    """What is kept of each takes 420 bytes or so, beside its name."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rhythms = Rhythms()
    names = [f"production\taudits_s3\t{100_000_000_000 + n // 10}\teu-west-{n % 10}" for n in range(100_000)]
    rhythms.hear(names, 0)
    rhythms.hear(names, 3)
    began = time.process_time()
    rhythms.hear(names, 60)
    rhythms.look(60)
    seconds = time.process_time() - began
    kept = sum(len(part) for part in rhythms.state().values() if isinstance(part, bytes))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    figures(
        f"100,000 scopes: {kept / 100_000:.0f} bytes each, the process grew by {grown} MiB, "
        f"{seconds:.1f} s of CPU for an hour's end at which all come"
    )
    assert kept < 450 * 100_000
