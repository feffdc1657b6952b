"""What can be collected, as data: one value per service, and what they are made of.

services.py                                   all of them, and from a configuration to what is to run
cloudtrail.py, line_logs.py, umbrella.py      CloudTrail; VPC flow and CloudFront; Umbrella
event_queues.py                               EventBridge's events and Security Hub's findings
logs.py, metrics.py, guardduty.py, delays.py  CloudWatch Logs and metrics, findings; keys about lateness
object_types.py                               further types of S3 objects: tag and layout of each
service.py                                    what a service is; calls.py, probe.py, object_type.py: its parts
build.py, tagging.py                          from a service's settings to its source and its transform
guess.py                                      what `plan` assumes about a day
"""
