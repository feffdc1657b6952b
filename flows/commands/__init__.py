"""The commands of `python -m flows`, apart from check, status and demo.

run.py                 `run`: state, processes, dataflow
plan.py, plan_show.py  `plan`: calls and money
iam_policy.py, iam_policy_formats.py, trust_policy.py     `policy`
preview.py, backfill.py, progress_bar.py                  `preview`, `backfill`
recheck.py, one_shot.py `recheck`: a second look at an API; what it and `backfill` deliver once
quarantine_replay.py   `replay QUARANTINE` (`replay` of captures is a dataflow of its own)
reference.py, error_catalogue.py, error_page.py           `reference`: docs/settings.md, docs/errors.md
journal.py, moments.py `journal`: what was delivered, by day, account and tag
"""
