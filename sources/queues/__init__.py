"""The SQS family: messages are leases, deleted when their events are receipted."""
