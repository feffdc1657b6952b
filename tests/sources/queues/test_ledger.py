"""The delivery contract as a state machine: nothing is settled before its receipt, everything once."""

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sources.queues.ledger import Ledger


def test_settles_after_seal_and_call():
    """What was emitted is settled by the first next_batch after the snapshot, not before."""
    ledger = Ledger[str]()
    ledger.emitted("a")
    assert ledger.confirm() == []
    ledger.seal()
    ledger.emitted("b")
    assert ledger.confirm() == ["a"]
    assert ledger.confirm() == []


@pytest.mark.parametrize("seals", [1, 2, 3])
def test_snapshots_in_a_row_settle_all(seals):
    """Epochs without a next_batch between them are confirmed together."""
    ledger = Ledger[int]()
    for number in range(seals):
        ledger.emitted(number)
        ledger.seal()
    assert ledger.confirm() == list(range(seals))
    assert len(ledger) == 0


class Contract(RuleBasedStateMachine):
    """bytewax's calls in any order, beside a model that remembers when each thing was emitted."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger[int]()
        self.count = 0
        self.epoch = 0
        self.emitted_in: dict[int, int] = {}
        self.settled: list[int] = []

    @rule()
    def emit(self):
        self.ledger.emitted(self.count)
        self.emitted_in[self.count] = self.epoch
        self.count += 1

    @rule()
    def snapshot(self):
        self.ledger.seal()
        self.epoch += 1

    @rule()
    def next_batch(self):
        settled = self.ledger.confirm()
        assert all(self.emitted_in[thing] < self.epoch for thing in settled)
        self.settled += settled
        assert {thing for thing, epoch in self.emitted_in.items() if epoch < self.epoch} == set(self.settled)

    @invariant()
    def once_each(self):
        assert len(set(self.settled)) == len(self.settled)
        assert len(self.ledger) == self.count - len(self.settled)


TestContract = Contract.TestCase
TestContract.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
