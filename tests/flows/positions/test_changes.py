"""What differs between two states, applied to the first, makes the second."""

import copy
import random

import pytest

from flows.positions.changes import added, applied, changes


def value(dice, depth=0):
    """Return some state: nested dicts, and what else a pickle can hold."""
    if depth < 3 and dice.random() < 0.6:
        keys = ["a", "b", "c", 1, 2, ""]
        return {key: value(dice, depth + 1) for key in dice.sample(keys, dice.randrange(len(keys)))}
    return dice.choice([None, 0, 1, "x", b"bytes", [1, {"a": 2}], {}, 1 << 80, "\ud800"])


@pytest.mark.parametrize("seed", range(300))
def test_changes_make_one_state_of_another(seed):
    """Whatever the two are; and the second stays as it is."""
    dice = random.Random(seed)
    before, after = value(dice), value(dice)
    kept = copy.deepcopy((before, after))
    made = list(changes(before, after))
    assert (before, after) == kept
    assert applied(copy.deepcopy(before), copy.deepcopy(made)) == after
    assert not list(changes(after, copy.deepcopy(after)))


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        (None, {}, True),
        ({"a": {}}, {"a": {"x": 1}}, True),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, False),
        ({"a": {"x": 1}}, {"a": {}}, False),
        ({"a": None}, {"a": 1}, True),
        ({"a": 1}, {"a": {"x": 1}}, False),
    ],
)
def test_what_is_new_is_told(before, after, new):
    """A first position is; another value, and what has gone, are not."""
    assert any(added(before, one) for one in changes(before, after)) is new


def test_what_is_the_same_object_is_not_looked_into():
    """Ten thousand targets cost nothing while they rest."""

    class Untouched(dict):
        def __eq__(self, other):
            raise AssertionError

        __hash__ = None

    same = Untouched()
    assert list(changes({"a": same, "b": 1}, {"a": same, "b": 2})) == [[["b"], 2]]
