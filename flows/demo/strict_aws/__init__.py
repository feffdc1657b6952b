"""An AWS that says no as AWS does: rules in front of the embedded one, which is more generous.

`rules.py` is what a request needs and how a lack is told, `state.py` what the rules look at, `proxy.py` the
server that stands between the collector and the embedded AWS. tests/fakes/README.md says for each rule where
it was read.
"""
