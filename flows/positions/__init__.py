"""Positions outside clusters: a checkpoint in bytewax's own format, and a log of what has changed since.

changes.py      what differs between two states of a lane, and a state with that applied
log.py          the log's file: a line with its checksum for each write
checkpoint.py   checkpoint and log made one new checkpoint: at a start, at a clean end, when the log is long
store.py        which states are written, and when: the delivery contract's side

bytewax's store writes all lanes in every epoch, changed or not. This one writes a lane's change once the
receipt for what it covers is there; after a clean end, or before a cluster starts on it, the directory is as
bytewax would have left it.
"""
