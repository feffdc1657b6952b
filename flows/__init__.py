"""The collector's dataflows and commands.

aws.py, replay.py      the two dataflows: `python -m bytewax.run flows.aws`; steps.py: what they share
cli.py                 the commands, as data: `python -m flows --help`
commands/              what each command does
check/, status/, demo/ three commands with a folder of their own
config/, catalogue/    what a user may write; what can be collected
process/               a running process: start, drain, recovery directory, epochs, memory
"""
