"""boto3 alone: fetches what the collector would fetch, and throws it away.

python -m tests.bench.alone gets URL THREADS     every object that the queue announces
python -m tests.bench.alone messages URL         every message, deleted in tens
python -m tests.bench.alone logs URL             every event of every log group
python -m tests.bench.alone latency URL CERTS PORT TOLD   each object received, fetched, sent; when, into TOLD
python -m tests.bench.alone nothing              import boto3 and bytewax
"""

import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import bytewax.dataflow  # noqa: F401 - what a start costs at least
from botocore.config import Config


def client(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="123456789012",
        aws_secret_access_key="bench",
        config=Config(max_pool_connections=64),
    )


def bodies(url: str, *, delete: bool) -> Iterator[str]:
    """Yield what the messages hold until the queue is empty."""
    sqs = client("sqs", url)
    queue = sqs.get_queue_url(QueueName="bench")["QueueUrl"]
    while lot := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        yield from (message["Body"] for message in lot)
        if delete:
            entries = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(lot)]
            sqs.delete_message_batch(QueueUrl=queue, Entries=entries)


def messages(url: str) -> None:
    for _ in bodies(url, delete=True):
        pass


def gets(url: str, threads: str) -> None:
    """GET with so many threads; the keys are known before, so this is less work than the collector's."""
    s3 = client("s3", url)
    named = [json.loads(body)["Records"][0]["s3"]["object"]["key"] for body in bodies(url, delete=False)]
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    with ThreadPoolExecutor(int(threads)) as pool:
        for _ in pool.map(lambda key: s3.get_object(Bucket="bench", Key=key)["Body"].read(), named):
            pass


def logs(url: str) -> None:
    api = client("logs", url)
    for listing in api.get_paginator("describe_log_groups").paginate():
        for group in listing["logGroups"]:
            for _ in api.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                pass


def latency(url: str, certs: str, port: str, told: str) -> None:
    """One object after the other, over TLS to the receiver; TOLD gets the seconds at which each was sent."""
    from tests.bench.floor import connect  # noqa: PLC0415 - `nothing` imports nothing more

    s3, link, moments = client("s3", url), connect(Path(certs), int(port)), []
    for body in bodies(url, delete=False):
        key = json.loads(body)["Records"][0]["s3"]["object"]["key"]
        link.sendall(gzip.decompress(s3.get_object(Bucket="bench", Key=key)["Body"].read()))
        moments.append(time.monotonic())
    link.unwrap().close()
    Path(told).write_text("\n".join(map(str, moments)))


ALONE: dict[str, Callable[..., None]] = {
    "gets": gets,
    "messages": messages,
    "logs": logs,
    "latency": latency,
    "nothing": lambda: None,
}

if __name__ == "__main__":
    ALONE[sys.argv[1]](*sys.argv[2:])
