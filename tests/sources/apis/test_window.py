"""Windows cover every late arrival, and ids keep repeats out."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.apis.window import (
    Reach,
    Seen,
    Window,
    behind,
    next_window,
    parse_iso,
    part_of_reach,
    to_datetime,
    to_ms,
)

REACH = Reach(settle=60, overlap=900, span=3600)


@pytest.mark.parametrize(
    ("done", "now", "window"),
    [
        (10_000, 10_000, None),
        (10_000, 10_060, None),
        (10_000, 10_061, Window(9_100, 10_001)),
        (10_000, 13_660, Window(9_100, 13_600)),
        (10_000, 99_999, Window(9_100, 13_600)),
        (10_000, 5_000, None),
    ],
    ids=["now", "all too fresh", "one ms ripe", "a whole span", "far behind", "clock set back"],
)
def test_next_window(done, now, window):
    """A window begins an overlap before its predecessor's end and stops at its span or at what is ripe."""
    assert next_window(done, now, REACH) == window


@pytest.mark.parametrize(("now", "more"), [(13_659, False), (13_660, True)])
def test_behind(now, more):
    """Catching up means that a whole span is left to read."""
    assert behind(10_000, now, REACH) is more


events = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 1_200)), max_size=40)
reaches = st.builds(
    Reach, settle=st.integers(0, 300), overlap=st.integers(0, 900), span=st.integers(1, 2_000)
)


@given(events, reaches, st.lists(st.integers(1, 700), min_size=1, max_size=12), st.booleans())
def test_late_arrivals_are_read_once(arrivals, reach, pauses, from_snapshot):
    """h14: what becomes visible within settle + overlap of its time is emitted exactly once."""
    late = reach.settle + reach.overlap
    api = [(str(n), t, t + min(delay, late)) for n, (t, delay) in enumerate(arrivals)]
    now, done, seen, emitted, turn = 0, 0, Seen(), [], 0
    while done < 5_001 + late:
        now += pauses[turn % len(pauses)]
        turn += 1
        if (window := next_window(done, now, reach)) is None:
            continue
        read = [(key, t) for key, t, visible in api if window.start <= t < window.end and visible <= now]
        emitted += [key for key, t in read if seen.add(key, t)]
        done = window.end
        kept = seen.since(done - reach.overlap)
        seen = Seen(kept) if from_snapshot else seen
    assert sorted(emitted) == sorted(key for key, _, _ in api)


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 100)), st.integers(0, 101))
def test_seen_forgets_by_time(ids, start):
    """What lies before the next window's start is not kept, everything else is known."""
    seen = Seen(ids)
    assert seen.since(start) == {key: when for key, when in ids.items() if when >= start}
    assert not any(seen.add(key, 0) for key in ids)
    assert len(seen) == len(ids)


def test_seen_does_not_share_its_dict():
    """A yielded state never changes afterwards: it is pickled later, in another thread."""
    seen = Seen({"a": 1})
    state = seen.since(0)
    seen.add("b", 2)
    assert state == {"a": 1}


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_are_exact(ms):
    """No millisecond is lost between epoch numbers, datetimes and ISO text."""
    moment = to_datetime(ms)
    assert to_ms(moment) == ms
    assert parse_iso(moment.isoformat()) == ms


def test_parse_iso():
    """AWS's Z, offsets, and Devo's times without one (taken as UTC) are read."""
    expected = to_ms(datetime(2024, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC))
    assert parse_iso("2024-01-02T03:04:05.678Z") == expected
    assert parse_iso("2024-01-02T05:04:05.678+02:00") == expected
    assert parse_iso("2024-01-02T03:04:05.678") == expected
    with pytest.raises(ValueError, match="yesterday"):
        parse_iso("yesterday")


def test_least_room_is_where_there_is_no_reach():
    """A target that reaches back for nothing (`overlap_seconds: 0`) stands for its region, and ends none."""
    told = [(0.0, 1.0), (5.0, 10.0), (1.0, 0.0), (0.0, 0.0)]
    assert max(told, key=part_of_reach) == (1.0, 0.0)
    assert max((0.0, 1.0), (0.0, 0.0), key=part_of_reach) == (0.0, 1.0)
