"""Where blocks go: Devo over mutual TLS, a relay, the console, and quarantine for what cannot be read.

A sink partition writes each block at once and takes a receipt at the end of each epoch, in `snapshot()`.
Only then may the sources delete messages and move cursors (see `sources/__init__.py`).
"""
