"""An AWS that costs next to nothing and is as far away as one likes: one queue, S3 objects, log groups.

    python -m tests.bench.cheap_aws PORT_FILE [--latency SECONDS] [--folder F] [--messages N] \
        [--groups G --events N] [--rate R]

HTTP/1.1 with keep-alive, every answer `latency` later, everything held in memory. The queue announces each
file of the folder once (or holds N events of EventBridge); leases never run out.
With a rate, so many of the folder's objects a second are announced, from the first receive on.
`GET /_stats` tells the calls.
What it leaves out: signatures, errors, visibility, other queues. Faults are `tests.fakes.faultproxy`'s.
"""

import argparse
import asyncio
import functools
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.fakes.bigs3 import notice

BUCKET, QUEUE, ACCOUNT = "bench", "bench", "123456789012"
LOG_START, LOG_STEP = (int(time.time()) // 86_400 - 1) * 86_400_000, 5
"""Epoch ms of each group's first log event, the last midnight but one; and from one to the next."""
_PAGE, _LOT, _GROUPS_PAGE = 3_500, 10, 50
_TEXT = (
    "START RequestId: 6bc28136-xmpl-4365-b021-0ce6b2e64ab0 Version: $LATEST duration 12.4 ms memory 128 MB "
)


class Place:
    """What there is: objects, messages, log groups; and how often each call came."""

    def __init__(
        self, folder: Path | None, messages: int, groups: int, events: int, rate: float = 0.0
    ) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []
        self.objects = {str(path.relative_to(folder)): path for path in files} if folder else {}
        self.waiting: deque[str] = deque(announced(self.objects))
        self.waiting.extend(eventbridge(number) for number in range(messages))
        self._rate, self._given = rate, 0
        self.held: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.first = 0.0
        self.groups = [f"/bench/group-{number:03}" for number in range(groups)]
        self.each = events // groups if groups else 0

    @property
    def visible(self) -> int:
        """How many messages wait: with a rate, those whose time has come."""
        if not self._rate or not self.first:
            return 0 if self._rate else len(self.waiting)
        due = int((time.time() - self.first) * self._rate) + 1
        return min(len(self.waiting), due - self._given)

    def take(self, most: int) -> list[str]:
        lot = [self.waiting.popleft() for _ in range(min(most, self.visible))]
        self._given += len(lot)
        return lot

    async def come(self, seconds: float) -> None:
        """Wait for a message at most so long."""
        self.first = self.first or time.time()
        until = time.time() + seconds
        while not self.visible and (now := time.time()) < until:
            due = self.first + self._given / self._rate if self._rate and self.waiting else until
            await asyncio.sleep(max(0.0, min(due, until) - now))

    def stats(self) -> dict[str, Any]:
        left = {"waiting": len(self.waiting), "held": len(self.held), "first": self.first}
        return {"calls": dict(self.calls), **left}


def announced(objects: dict[str, Path]) -> list[str]:
    return [notice(BUCKET, key, path.stat().st_size, etag(path)) for key, path in objects.items()]


def etag(path: Path) -> str:
    return f"{path.stat().st_ino:032x}"


_BODIES: dict[int, bytes] = {}


def body_of(path: Path) -> bytes:
    """Read each distinct body once: the corpus links its copies."""
    inode = path.stat().st_ino
    if inode not in _BODIES:
        _BODIES[inode] = path.read_bytes()
    return _BODIES[inode]


def eventbridge(number: int) -> str:
    detail = {"instance-id": f"i-{number:017x}", "state": "running", "note": _TEXT * 4}
    head = {"version": "0", "id": f"{number:032x}", "account": ACCOUNT, "region": "us-east-1"}
    kind = {"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2"}
    return json.dumps({**head, **kind, "time": "2026-01-02T03:04:05Z", "resources": [], "detail": detail})


@functools.cache
def log_event(group: str, number: int) -> str:
    moment = LOG_START + number * LOG_STEP
    event = {
        "logStreamName": "s",
        "timestamp": moment,
        "ingestionTime": moment,
        "message": f"{_TEXT}{number}",
    }
    return json.dumps({**event, "eventId": f"{group}{number:050}"})


def receive(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    lot = place.take(asked.get("MaxNumberOfMessages", 1))
    place.calls["sqs.ReceiveMessage" if lot else "sqs.ReceiveMessage (empty)"] += 1
    names = [str(len(place.held) + place.calls.total() * _LOT + at) for at in range(len(lot))]
    place.held.update(zip(names, lot, strict=True))
    told = {"ApproximateReceiveCount": "1", "SentTimestamp": "1767322800000"}
    return {
        "Messages": [
            {"MessageId": name, "ReceiptHandle": name, "Body": body, "Attributes": told}
            for name, body in zip(names, lot, strict=True)
        ]
    }


def delete(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    place.calls["sqs.DeleteMessage"] += 1
    for entry in asked["Entries"]:
        place.held.pop(entry["ReceiptHandle"], None)
    return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}


def extend(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    place.calls["sqs.ChangeMessageVisibility"] += 1
    return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}


def list_groups(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    place.calls["logs.DescribeLogGroups"] += 1
    begin = int(asked.get("nextToken", 0))
    common = {"creationTime": LOG_START, "logGroupClass": "STANDARD", "storedBytes": 1}
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
    names = place.groups[begin : begin + _GROUPS_PAGE]
    shown = [{"logGroupName": name, "arn": f"{arn}{name}:*", **common} for name in names]
    end = begin + _GROUPS_PAGE
    return {"logGroups": shown} | ({"nextToken": str(end)} if end < len(place.groups) else {})


def filter_events(place: Place, asked: dict[str, Any]) -> bytes:
    """Answer a page of a group's events between startTime and endTime, both inclusive."""
    place.calls["logs.FilterLogEvents"] += 1
    first = max(0, -((LOG_START - asked.get("startTime", 0)) // LOG_STEP))
    last = min(place.each, (asked.get("endTime", 1 << 62) - LOG_START) // LOG_STEP + 1)
    begin = int(asked.get("nextToken", first))
    end = min(begin + _PAGE, last)
    group = asked.get("logGroupName") or asked["logGroupIdentifier"].rpartition(":")[2]
    page = ",".join(log_event(group, number) for number in range(begin, end))
    more = f',"nextToken":"{end}"' if end < last else ""
    return f'{{"events":[{page}],"searchedLogStreams":[]{more}}}'.encode()


CALLS: dict[str, Callable[[Place, dict[str, Any]], dict[str, Any] | bytes]] = {
    "GetQueueUrl": lambda _place, asked: {"QueueUrl": f"http://127.0.0.1/{ACCOUNT}/{asked['QueueName']}"},
    "GetQueueAttributes": lambda _place, _asked: {"Attributes": {}},
    "ReceiveMessage": receive,
    "DeleteMessageBatch": delete,
    "ChangeMessageVisibilityBatch": extend,
    "DescribeLogGroups": list_groups,
    "FilterLogEvents": filter_events,
}


IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::%(id)s:user/bench</Arn>"
    b"<UserId>bench</UserId><Account>%(id)s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
) % {b"id": ACCOUNT.encode()}


def get_object(place: Place, key: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    place.calls["s3.GetObject"] += 1
    path = place.objects.get(key)
    if path is None:
        return 404, {}, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
    body, told = body_of(path), {"ETag": f'"{etag(path)}"'}
    if "range" not in headers:
        return 200, told, body
    begin = int(headers["range"].removeprefix("bytes=").split("-")[0])
    return 206, {**told, "Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"}, body[begin:]


async def answer(
    place: Place, target: str, headers: dict[str, str], asked: bytes
) -> tuple[int, dict[str, str], bytes]:
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if target == "/_stats":
        return 200, {}, json.dumps(place.stats()).encode()
    if not operation and asked.startswith(b"Action=GetCallerIdentity"):
        return 200, {"Content-Type": "text/xml"}, IDENTITY
    if not operation:
        key = unquote(target.partition("?")[0]).removeprefix(f"/{BUCKET}/")
        return get_object(place, key, headers)
    request = json.loads(asked)
    if operation == "ReceiveMessage":
        await place.come(request.get("WaitTimeSeconds", 0))
    made = CALLS[operation](place, request)
    kind = {"Content-Type": "application/x-amz-json-1.1"}
    return 200, kind, made if isinstance(made, bytes) else json.dumps(made).encode()


async def serve(
    place: Place, latency: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one connection's requests until it ends."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in fields}
            asked = await reader.readexactly(int(headers.get("content-length", 0)))
            target = head[0].split(" ")[1]
            if latency and target != "/_stats":
                await asyncio.sleep(latency)
            status, told, body = await answer(place, target, headers, asked)
            lines = [f"{name}: {value}\r\n" for name, value in {**told, "Content-Length": len(body)}.items()]
            writer.write(f"HTTP/1.1 {status} OK\r\n{''.join(lines)}\r\n".encode())
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def run(args: argparse.Namespace) -> None:
    place = Place(args.folder, args.messages, args.groups, args.events, args.rate)
    server = await asyncio.start_server(
        functools.partial(serve, place, args.latency), "127.0.0.1", 0, limit=1 << 20
    )
    args.port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cheap_aws")
    parser.add_argument("port_file", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--folder", type=Path)
    for name in ("messages", "groups", "events"):
        parser.add_argument(f"--{name}", type=int, default=0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
