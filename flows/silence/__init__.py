"""Silence: which account's and region's events have stopped coming, told by what was usual before.

rhythm.py learns and decides, without a clock of its own; watch.py feeds it and tells what it finds.
"""
