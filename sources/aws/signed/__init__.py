"""The calls that are made most often, past boto3, which is asked for whatever does not end plainly.

signature   AWS Signature Version 4
wire        keep-alive connections, through a proxy where there is one
sent        what a client sends, from which is learnt how it asks
patience    how long a way that fails is tried
hosts       the connections of one client: its endpoints, timeouts, proxies
authorities whom all clients trust, in one TLS context
calls       operations of JSON protocols: SQS, CloudWatch Logs
get         GetObject
"""
