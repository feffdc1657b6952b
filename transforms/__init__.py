"""Pure functions over blocks: what a service's events look like and which tag they get.

A transform takes one `Block` and returns blocks (tagged) and poisons (what it could not read). It keeps no
state between calls, does no I/O and imports nothing of this project: sources cut objects into whole events
before, sinks frame and send after.

    block.py               Block, Poison, Origin: what flows
    tags.py                how a tag is put together; which one a type has stands in flows/catalogue/
    cloudtrail.py, eventbridge.py, cloudfront.py, vpcflow.py, umbrella.py     one service's events each
    line_logs.py           what the last three have in common
    tagged.py, routed.py   types that need a tag only; tags and filters by rules of the configuration
    object_kinds.py        which type an object is, by its first bytes, and which table of it a block is for
    layout.py              how a type's objects are cut into events
    columns.py, documents.py, fields.py, jsonline.py     rows, documents, values, additions
    setting.py, locks.py, errors.py, telemetry.py, arrow.py, wrapped.py     what all packages share
"""
