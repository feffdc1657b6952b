"""Who asks AWS, and how fast: accounts, their credentials and sessions, shared request limits.

account.py             the only place that makes clients: retries, timeouts, endpoints
credentials.py, chain.py, machine.py, renewal.py     what is configured; roles in a row; this machine; renewal
limiter.py             request rates, shared by the processes of a machine
partitions.py          regions, ARNs and hosts of every part of AWS
sessions.py, botocore_internals.py, replies.py       botocore: sessions, its private parts, its replies
pace.py                how long, and how large, a reply may be
signed/, spending/     the most frequent calls, past boto3; what all calls cost, and budgets
telemetry.py           named events of this room
"""
