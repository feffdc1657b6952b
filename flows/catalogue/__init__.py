"""What can be collected, as data: one value per service, and what they are made of.

services.py, object_types.py    the rows: what Devo's AWS collector has, and its SQS collector
service.py                      what a row is
build.py, polls.py, tagging.py  from a row and its settings to its source, its poll and its transform
"""
