"""What a running collector shows of itself: a page, JSON, health, readiness and metrics, on one small port.

    named events ──▶ event_status.py    last errors, outputs            ┐
    metrics      ──▶ history.py  rates of the last hour          ├─▶ state.py ──▶ view.py ──▶ page.py
    dataflow     ──▶ liveness.py    when it turned last             ┘    JSON         words       HTML

Off unless `COLLECTOR_STATUS` or `globals.status` says `host:port`. server.py answers from threads of its own,
a few at a time, and reads nothing but figures: no event and no secret is within its reach.
"""
