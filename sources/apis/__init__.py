"""The API family: AWS APIs with a position per target (region, log group, detector).

cursor.py              the partition class: positions are kept by snapshots
poll_scheduler.py      the threads of a service: who is polled when, pauses after failures
poll.py                what an API must bring: targets, and one poll of one target
api.py                 what polls have in common: asking at a pace, page by page; events as blocks
window.py              stretches of time with overlap, for events that arrive late; how far back by default
                       stands in flows/catalogue/ and wins over what the options here begin with
cloudtrail.py, guardduty.py                   LookupEvents, findings
cloudwatch_logs.py, log_groups.py             CloudWatch Logs
cloudwatch_metrics.py, metric_….py            CloudWatch metrics
"""
