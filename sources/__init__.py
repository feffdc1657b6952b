"""Where events come from, and when they are gone for good.

The delivery contract
---------------------
bytewax has no acknowledgement path, but it has epochs: a partition's `next_batch` is not called for epoch
N+1 before every output has finished epoch N, receipts included (sinks take them in their `snapshot`).
Every source here rests on that:

    emitted    `next_batch` handed the last event of a message to the dataflow, in the running epoch
    sealed     `snapshot` closed that epoch; nothing is known yet
    settled    `next_batch` is called again: the epoch is receipted, the message may be deleted

A message of which nothing was emitted needs no epoch: it is settled at once. With a journal its rows are on
disk before it is deleted (`journal_gate.py`); rows of what an API showed are part of the position until they
are (`journal_pending.py`). A crash at any point leaves the message in its queue, or the
cursor where it was: events may come twice, none is missing. `queues/lease_life.py` is this rule.

Two families, one partition class each
--------------------------------------
`queues/`   SQS messages are leases: received, kept alive, deleted when settled (`lease.py`). What a message
            holds is known to a `MessageOpener`: S3 objects (`s3.py`) or the events themselves (`events.py`).
`apis/`     AWS APIs with a position per target: region, log group, detector (`cursor.py`). What to ask is
            known to a `Poll` strategy.

Beside them: `objects/` makes whole events of stored bytes, `listed/` reads objects that nobody announced,
`organization/` gives an API all accounts of an organization, `aws/` is who asks, and how fast. Queues and
APIs import nothing of each other, and objects know neither.
For all of them: `errors.py`, `refusals.py`, `lost_connection.py` (what AWS answers), `lanes.py`,
`threads.py`, `bulkheads.py` (who is fetched next), `journal.py`, `journal_gate.py`, `journal_pending.py` and
`journal_windows.py` (what was settled, written down first), `telemetry.py`, `metric_scopes.py` and
`error_deduplicator.py` (what is logged).
"""
