"""A bucket and a journal of many objects, proved in a process of its own: how long, and how much memory.

python -m tests.flows.proof.large FOLDER ROWS journal     # write the journal
python -m tests.flows.proof.large FOLDER ROWS serve       # list the bucket on a port, which is printed
python -m tests.flows.proof.large FOLDER ROWS prove URL   # prove it; seconds and MB are printed as JSON
"""

import hashlib
import json
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

START, DAYS, PAGE = datetime(2026, 1, 1, tzinfo=UTC), 30, 1000
BUCKET = "trail-of-the-organisation"
MISSING = 97
"""Every so many-th object is in the bucket and not in the journal."""


def place(number):
    """Return key and etag of the n-th object."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    account = 123456789012 + number % 40
    at = START + timedelta(minutes=number * 7 % (DAYS * 1440))
    folder = f"AWSLogs/{account}/CloudTrail/eu-west-1/{at:%Y/%m/%d}"
    return f"{folder}/{account}_CloudTrail_eu-west-1_{at:%Y%m%dT%H%MZ}_{digest[:16]}.json.gz", digest[32:]


def journal(folder: Path, rows: int) -> None:
    """Write the journal of all objects but the missing ones, a file for each lot, as if of many hours."""
    from flows.journal.compaction import schema  # noqa: PLC0415

    lot = 20_000
    for first in range(0, rows, lot):
        numbers = [n for n in range(first, min(first + lot, rows)) if n % MISSING]
        places = [place(number) for number in numbers]
        count = len(numbers)
        time_ms = int(START.timestamp() * 1000) + 1
        columns = {name: [None] * count for name in schema().names}
        columns |= {
            "time": [time_ms + first] * count,
            "kind": ["object"] * count,
            "outcome": ["delivered"] * count,
            "service": ["audits_s3"] * count,
            "account": [key.split("/")[1] for key, _ in places],
            "region": ["eu-west-1"] * count,
            "object": [f"s3://{BUCKET}/{key}" for key, _ in places],
            "etag": [etag for _, etag in places],
            "stored_bytes": [9000] * count,
            "sha256": [bytes.fromhex(etag) * 2 for _, etag in places],
            "tags": [[("cloud.aws.cloudtrail.s3", 200)]] * count,
            **{name: [200] * count for name in ("records", "events")},
            **{name: [0] * count for name in ("filtered", "quarantined")},
            **{name: [False] * count for name in ("resumed", "repeated")},
        }
        path = folder / f"day={START:%Y-%m-%d}" / f"{time_ms + first}-p.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns, schema()), path, compression="zstd")


def serve(rows: int) -> None:
    """Answer ListObjectsV2 as S3 does, in one folder: the worst case."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked = parse_qs(urlsplit(self.path).query)
            first = int(asked.get("continuation-token", ["0"])[0])
            entries = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-02-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{etag}&quot;</ETag><Size>9000</Size><StorageClass>STANDARD</StorageClass></Contents>"
                for key, etag in map(place, range(first, min(first + PAGE, rows)))
            )
            more = first + PAGE < rows
            token = f"<NextContinuationToken>{first + PAGE}</NextContinuationToken>" if more else ""
            body = (
                '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/'
                f'2006-03-01/"><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>'
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


class NoQueue:
    """A queue that is empty."""

    def __init__(self, _queue):
        pass

    def depth(self):
        return 0, 0


def prove(folder: Path, url: str) -> dict[str, float]:
    """Prove it all; return seconds, MB and what was found."""
    from msgspec.structs import replace  # noqa: PLC0415

    from flows.catalogue.services import every, replay_unit  # noqa: PLC0415
    from flows.commands.prove import ProofScope, proof  # noqa: PLC0415
    from flows.proof import queue_facts  # noqa: PLC0415
    from sources.listed.listing import Stretch  # noqa: PLC0415
    from tests.security.appetite import peak  # noqa: PLC0415

    queue_facts.SqsQueue = NoQueue
    unit = replay_unit(every()["audits_s3"], None)
    options = unit.options.model_copy(update={"regions": ("eu-west-1",), "audit_sqs_queue_name": "q"})
    os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    unit = replace(unit, options=options)
    began = time.monotonic()
    stretch = Stretch(START, START + timedelta(days=DAYS))
    found = proof(ProofScope(unit, stretch, (f"s3://{BUCKET}/",), (folder,), 0, 900.0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    cost = {"cpu": round(used.ru_utime + used.ru_stime, 1), "mb": round(peak() / 2**20)}
    return {"seconds": round(time.monotonic() - began, 1), **cost, **found.verdicts}


if __name__ == "__main__":
    where, count, what, *more = sys.argv[1:]
    if what == "journal":
        journal(Path(where), int(count))
    elif what == "serve":
        serve(int(count))
    else:
        sys.stdout.write(json.dumps(prove(Path(where), *more)))
