"""The collector's dataflows and commands.

aws.py                           the main job as a dataflow: `python -m bytewax.run flows.aws`
run.py, runtime.py, state.py     a process or a local cluster of it: start, drain, recovery directory
cli.py                           the commands, as data: `python -m flows --help`
config/, catalogue/              what a user may write; what can be collected
check/, status/, demo/           three commands with a folder of their own
preview, backfill, replay, second_try, policy*, plan*, reference, error_catalogue    the others
"""
