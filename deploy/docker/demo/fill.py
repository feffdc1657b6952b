"""Fills the embedded AWS of the compose file's demo: buckets, queues, new sample objects every ten seconds.

python fill.py [ROUNDS]      the address of the embedded AWS is AWS_ENDPOINT_URL
"""

import os
import sys
import time
from itertools import count, islice

from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from flows.demo.configuration import EVENT_QUEUES, OBJECT_QUEUES
from flows.demo.embedded import EmbeddedAws
from flows.demo.sample_events import messages
from flows.demo.samples import objects

_PAUSE_SECONDS = 10.0
_START_SECONDS = 120.0


def fill(aws: EmbeddedAws, rounds: int | None) -> None:
    """Make buckets and queues, then put sample objects and messages in; rounds: None = for ever."""
    for queue in OBJECT_QUEUES.values():
        aws.announced_bucket(queue, queue)
    for queue in EVENT_QUEUES.values():
        aws.event_queue(queue)
    for turn in islice(count(), rounds):
        for one in objects(3):
            sample = replace(one, key=f"round-{turn}/{one.key}")
            aws.client("s3").put_object(
                Bucket=OBJECT_QUEUES[sample.service], Key=sample.key, Body=sample.body
            )
        for message in messages(3) if turn == 0 else ():
            aws.send(EVENT_QUEUES[message.service], message.body)
        if turn + 1 != rounds:
            time.sleep(_PAUSE_SECONDS)


def await_start(aws: EmbeddedAws) -> None:
    """Wait until the embedded AWS answers."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            aws.client("sqs").list_queues()
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    embedded = EmbeddedAws(os.environ["AWS_ENDPOINT_URL"], "")
    await_start(embedded)
    fill(embedded, int(sys.argv[1]) if len(sys.argv) > 1 else None)
