"""The SQS family: messages are leases, deleted when their events are receipted.

lease.py               the partition class: emitted, sealed, settled
lease_life.py          a lease's states and steps, and a lane's ledger of leases; pure
lease_feed.py          the threads of a service: receive, open, fill the inboxes
lease_manager.py       extends leases, deletes messages, gives them back
receiver.py, sqs.py    long polls; the calls of SQS
inbox.py               what was fetched and waits for a lane, bounded in bytes
message_opener.py      who opens a message: s3.py (objects), or events.py (it holds the events themselves)
s3_notification.py     a message's body → the objects that it announces; pure
bucket_trust.py        which of these objects are read
failure_policy.py      kind of error → what becomes of the message
object_progress.py     how far each object has come: what a snapshot holds
"""
