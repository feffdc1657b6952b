"""Silence: which account's and region's events have stopped coming, told by what was usual before.

drift.py tells how the events that come look otherwise than they did.

rhythm.py learns and decides, without a clock of its own, and pauses.py measures for it; watch.py feeds it and
tells what it finds.
learnt.py is what both looks share: once a minute, and kept beside the state.
"""
