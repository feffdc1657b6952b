"""The collector's dataflows and commands.

aws.py, replay.py      the two dataflows: `python -m bytewax.run flows.aws`; steps.py: what they share
cli.py                 `python -m flows`: reads arguments, tells errors in one line
commands/              the commands as data (table.py), and what each does
check/, status/, demo/ three commands with a folder of their own
config/, catalogue/    what a user may write; what can be collected
process/               a running process: start, drain, recovery directory, owners, epochs, memory
positions/             how far lanes have come, outside clusters: what is written of it, and when
cluster/               what the processes of a cluster say to each other, and the watchdog
journal/, proof/       what was delivered, row by row; what of a bucket was, and what is missing
silence/               accounts and regions of which nothing comes any more, events that look otherwise
"""
