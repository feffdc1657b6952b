"""The collector's dataflows and commands: `python -m bytewax.run flows.aws`, `python -m flows --help`."""
