"""What can be collected, as data: one value per service, and what they are made of.

cloudtrail.py, guardduty.py …   services of Devo's AWS collector: settings, calls, probes, tags
object_types.py                 those of its SQS collector: types of S3 objects
services.py                     all of them, and from a configuration to what is to run
service.py                      what a service is; calls.py, probe.py, object_type.py: its parts
build.py, tagging.py            from a service's settings to its source and its transform
"""
