"""Pure functions over blocks: what a service's events look like and which tag they get.

A transform takes one `Block` and returns blocks (tagged) and poisons (what it could not read). It keeps no
state between calls, does no I/O and imports nothing of this project: sources cut objects into whole events
before, sinks frame and send after.
"""
