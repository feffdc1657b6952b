"""A bucket, a queue and a journal of an embedded AWS, in which faults are planted and proved."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import yaml

from flows.cli import main
from flows.journal.log import LOGS, JournalLog
from sources.journal import JournalRow
from tests.flows.proof.trails import ACCOUNT, FIRST, TRAIL, Trail

REGION = "us-east-1"
HOURS = 4
STRETCH = tuple(f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (FIRST, FIRST + timedelta(hours=HOURS)))
SETTLED = int(datetime(2026, 1, 2, 9, tzinfo=UTC).timestamp() * 1000)


class World:
    """An empty bucket whose objects are announced by hand, and a configuration that reads them.

    trail: signs what is put by `log`; its digests are stored by `sign`.
    """

    def __init__(self, aws, unique, folder, service="audits_s3", key="test"):
        self.aws, self.folder, self.service = aws, folder, service
        self.bucket = aws.bucket(unique("proved"))
        self.queue = aws.queue(unique("proved"))
        self.trail = Trail(HOURS, self.bucket, REGION)
        self.journal = JournalLog(folder / "state" / "journal" / LOGS, "p0")
        made = {
            "globals": {
                "persistence": {"type": "filesystem", "config": {"directory_name": str(folder / "state")}}
            },
            "outputs": {"file": {"type": "file", "config": {"path": str(folder / "out" / "events.log")}}},
            "inputs": {
                "aws": {
                    "id": "1",
                    "credentials": {"access_key": key, "access_secret": "test"},
                    "services": {
                        "audit-events-all": {
                            "types": [service],
                            "regions": [REGION],
                            "audit_sqs_queue_name": self.queue.name,
                            "s3_file_type_filter": "(?!left/)",
                        }
                    },
                }
            },
        }
        (folder / "out").mkdir()
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(made))

    def by_url(self, patch):
        """Let the configuration name the queue by its URL alone, which tells the region."""
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        made = yaml.safe_load(self.config.read_text())
        (options,) = made["inputs"]["aws"]["services"].values()
        del options["regions"], options["audit_sqs_queue_name"]
        options["queue_url"] = f"https://sqs.{REGION}.amazonaws.com{urlsplit(self.queue.url).path}"
        self.config.write_text(yaml.safe_dump(made))

    def put(self, key, body=b'{"Records": [{"eventName": "A"}]}', **metadata):
        """Store an object; returns its etag. Nobody is told."""
        stored = gzip.compress(body) if key.endswith(".gz") and body[:2] != b"\x1f\x8b" else body
        put = self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=stored, Metadata=metadata)
        return put["ETag"].strip('"')

    def delete(self, key):
        self.aws.client("s3").delete_object(Bucket=self.bucket, Key=key)

    def body(self, key):
        return self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def row(self, key, etag="", **more):
        """Write the journal's row of an object."""
        values = {"outcome": "delivered", "records": 3, "events": 3, "account": ACCOUNT, "region": REGION}
        values |= {"time": SETTLED, "service": self.service, **more}
        self.journal.write(
            [JournalRow(kind="object", object=f"s3://{self.bucket}/{key}", etag=etag, **values)]
        )

    def deliver(self, key, body=b'{"Records": [{"eventName": "A"}]}', **more):
        """Store an object and write the row of its delivery."""
        etag = self.put(key, body)
        stored = self.body(key)
        self.row(key, etag, stored_bytes=len(stored), sha256=hashlib.sha256(stored).digest(), **more)
        return etag

    def announce(self, key, etag):
        """Put the notice of an object into the queue."""
        about = {"bucket": {"name": self.bucket}, "object": {"key": key, "eTag": etag, "size": 1}}
        body = {
            "Records": [
                {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": REGION, "s3": about}
            ]
        }
        self.aws.send(self.queue, json.dumps(body))

    def sign(self):
        """Store the log files of the trail, all of them delivered, and its digests."""
        for hour in self.trail.logs:
            for key, content in hour.items():
                self.deliver(key, content)
        self.store()

    def store(self):
        """Store the digests of the trail."""
        for name, stored in self.trail.objects.items():
            self.aws.client("s3").put_object(
                Bucket=self.bucket, Key=name, Body=stored.body, Metadata=stored.metadata
            )

    def prove(self, capsys, *more, grace="0", span=STRETCH, location=None, as_json=True):
        """Return exit code and report; in words, or what went wrong, as text."""
        self.journal.close()
        location = f"s3://{self.bucket}/" if location is None else location
        where = ["--config", str(self.config), "--service", self.service, "--from", span[0], "--to", span[1]]
        where += ["--location", location] if location else []
        code = main(["prove", *where, "--grace", grace, *(["--json"] if as_json else []), *more])
        told = capsys.readouterr()
        if as_json and told.out:
            return code, json.loads(told.out)
        return code, told.out or told.err

    def validated(self, span=STRETCH):
        """Return what AWS's own client says of the same days."""
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "awscli", "cloudtrail", "validate-logs", "--verbose"),
                *("--trail-arn", f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{TRAIL}"),
                *("--start-time", span[0], "--end-time", span[1]),
                *("--s3-bucket", self.bucket, "--region", REGION),
            ],
            env={**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ended.returncode in {0, 1}, ended.stderr
        return Validated(ended.stdout + ended.stderr)


class Validated:
    """The lines of `aws cloudtrail validate-logs --verbose`."""

    def __init__(self, text):
        self.text = text
        lines = re.findall(r"(Digest|Log) file\t(s3://\S+)\t(valid|INVALID: .*)", text)
        self.valid = {(kind, name) for kind, name, said in lines if said == "valid"}
        self.invalid = {(kind, name): said for kind, name, said in lines if said != "valid"}
        self.gaps = len(re.findall("No log files were delivered by CloudTrail between", text))
