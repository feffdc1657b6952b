"""bytewax's operators are made when they are used, and are bytewax's own then."""

import subprocess
import sys

from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from flows.operators import operators as op

_LOOK = """
import bytewax.dataflow as dataflow
made, real = [], dataflow.operator
def counting(*given, **named):
    made.append(named)
    return real(*given, **named)
dataflow.operator = counting
from flows.operators import operators
assert dataflow.operator is counting, "bytewax's decorator stays bytewax's"
assert not made, made
"""


def test_operators_run_as_bytewaxs():
    """A dataflow of them does what it does with bytewax's."""
    found: list[int] = []
    flow = Dataflow("made")
    doubled = op.flat_map("twice", op.input("in", flow, TestingSource([1, 2])), lambda one: [one, one])
    op.output("out", op.merge("all", doubled), TestingSink(found))
    run_main(flow)
    assert found == [1, 1, 2, 2]


def test_none_is_made_while_it_is_imported():
    """In a process of its own, where bytewax was not imported before."""
    subprocess.run([sys.executable, "-c", _LOOK], check=True)
