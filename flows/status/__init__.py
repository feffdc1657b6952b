"""What a running collector shows of itself: a page, JSON, health, readiness and metrics, on one small port.

    named events ──▶ event_status.py  last errors, outputs     ┐
    metrics      ──▶ history.py       rates and lags of a day  ├─▶ watch.py ──▶ view.py ──▶ page.py, .css
    log          ──▶ recent.py        last warnings            │   JSON         words       HTML
    dataflow     ──▶ liveness.py      when it turned last      │
                     outgoing.py      events by tag, the tap   ┘

    view.py      attention.py (what fails), charts.py, notes.py (what is not collected), words.py (numbers)
    queue_depth.py, machine.py   what waits in queues; memory and processor

    start.py           begins all that; server.py, admission.py: the port and who may ask it
    certificates.py    days that the outputs' certificates have left
    metrics_snapshot.py   the metrics as plain numbers
    group.py           several processes behind one port; probe.py: the container's health check

Off unless `COLLECTOR_STATUS` or `globals.status` says `host:port`. server.py answers from threads of its own,
a few at a time, and reads nothing but figures: secrets are not within its reach, events by the tap.
"""
