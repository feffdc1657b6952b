"""Where blocks go: Devo over mutual TLS, a relay, the console, and quarantine for what cannot be read.

A sink partition writes each block at once and takes a receipt at the end of each epoch, in `snapshot()`.
Only then may the sources delete messages and move cursors (see `sources/__init__.py`).

    devo.py, outputs.py    the sink of events: all outputs, all receipts; an output from its settings
    link.py                a syslog output's window and resends
    connection.py, tls.py  TCP and TLS that end with a receipt
    devo_http.py           Devo over HTTP; request.py, http_connection.py: its requests and connections
    preconnect.py, retry_budget.py     the next connection; how long an output may fail
    frame.py               an event as a syslog line; one that is too large made poison, for every output
    console.py             standard output and files
    quarantine.py          the sink of poison; quarantine_room.py: how much a folder takes
    settings.py, errors.py, telemetry.py     keys, errors, named events
"""
