"""What an organization costs one process: memory, threads, calls a second, start, renewal of sessions.

    python -m tests.bench.organization [--accounts 1000] [--regions 17] [--minutes 20] [--period 300]
    python -m tests.bench.organization --check      how long `flows check` takes over all accounts

The collector itself (`flows run`) reads four APIs of every account and region of an AWS that answers at once
and keeps nothing: one log group, one detector, one metric and no event each. Sessions last a quarter of an
hour, the least that AWS grants, so that all are renewed within the run. Prints a row a minute, and at the
end one line each.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from zlib import crc32

import yaml

from flows.config.organization import DEFAULT_REGIONS
from tests.fakes.process import HOST, Child

_JOINED = 1_600_000_000.0
_CREDENTIAL = re.compile(rb"Credential=[^/]+/\d+/([a-z0-9-]+)/([a-z0-9-]+)/")
_SERVICES: dict[str, dict[str, object]] = {
    "audit-events-all": {"types": ["audits_api"]},
    "logs": {"types": ["logs"], "log_group": "/"},
    "metrics-all": {},
    "aws-guardduty": {},
}
_ROLE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA{account}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_WHO = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::100000000000:user/collector</Arn><UserId>A</UserId><Account>100000000000</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


class CheapOrganization:
    """The AWS. session: seconds that a role's session lasts."""

    def __init__(self, accounts: int, regions: int, session: float) -> None:
        self.accounts = [f"{n:012d}" for n in range(100_000_000_000, 100_000_000_000 + accounts)]
        self.regions, self.session = DEFAULT_REGIONS[:regions], session
        self.calls: Counter[str] = Counter()
        self.assumed: list[float] = []
        self.port = 0

    def start(self) -> None:
        """Serve in a thread."""
        loop = asyncio.new_event_loop()

        async def begin() -> None:
            server = await asyncio.start_server(self._serve, HOST, 0, limit=1 << 20)
            self.port = server.sockets[0].getsockname()[1]

        loop.run_until_complete(begin())
        Thread(target=loop.run_forever, daemon=True).start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(found[1])) if found else b""
                if b"100-continue" in head:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                reply = self._answer(head, body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        who = _CREDENTIAL.search(head)
        region = who[1].decode() if who else ""
        target = re.search(rb"(?i)x-amz-target: \S+\.(\w+)", head)
        path = head.split(b" ", 2)[1].decode().partition("?")[0]
        if target:
            operation = target[1].decode()
        elif b"urlencoded" in head:
            operation = parse_qs(body.decode())["Action"][0]
        else:
            operation = f"{head.split(b' ', 1)[0].decode()} {path.strip('/').split('/')[-1]}"
        self.calls[operation] += 1
        if operation == "AssumeRole":
            self.assumed.append(time.monotonic())
            account = parse_qs(body.decode())["RoleArn"][0].split(":")[4]
            ends = datetime.now(UTC) + timedelta(seconds=self.session)
            return _ROLE.format(account=account, ends=ends.strftime("%Y-%m-%dT%H:%M:%SZ")).encode()
        if operation == "GetCallerIdentity":
            return _WHO
        return json.dumps(self._json(operation, region, json.loads(body or b"{}") if target else {})).encode()

    def _json(self, operation: str, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListAccounts":
            first = int(asked.get("NextToken", 0))
            page = [
                {"Id": one, "Name": f"account {one}", "Status": "ACTIVE", "JoinedTimestamp": _JOINED}
                for one in self.accounts[first : first + 20]
            ]
            more = {"NextToken": str(first + 20)} if first + 20 < len(self.accounts) else {}
            return {"Accounts": page, **more}
        if operation == "POST listRegions":
            told = [{"RegionName": one, "RegionOptStatus": "ENABLED_BY_DEFAULT"} for one in self.regions]
            return {"Regions": told}
        if operation == "DescribeLogGroups":
            arn = f"arn:aws:logs:{region}:1:log-group:/app:*"
            return {"logGroups": [{"arn": arn, "logGroupName": "/app", "creationTime": 1_600_000_000_000}]}
        if operation == "GET detector":
            return {"detectorIds": [f"{crc32(region.encode()):032x}"]}
        return _SAID[operation]


_SAID: dict[str, dict[str, Any]] = {
    "ListDelegatedAdministrators": {"DelegatedAdministrators": []},
    "LookupEvents": {"Events": []},
    "FilterLogEvents": {"events": []},
    "ListMetrics": {"Metrics": [{"Namespace": "A", "MetricName": "b", "Dimensions": []}]},
    "GetMetricData": {"MetricDataResults": [], "Messages": []},
    "GetMetricStatistics": {"Datapoints": []},
    "POST findings": {"findingIds": []},
}


class _Watched:
    """The collector, looked at from outside."""

    def __init__(self, child: Child) -> None:
        self.child = child

    def status(self, name: str) -> int:
        """Return a number of /proc/PID/status: VmRSS and VmHWM in KiB, Threads."""
        text = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.findall(rf"{name}:\s+(\d+)", text)[0])

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written(self) -> int:
        """Return the bytes that it has written to disk."""
        return int(re.findall(r"write_bytes: (\d+)", Path(f"/proc/{self.child.pid}/io").read_text())[0])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=17)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--period", type=float, default=300)
    parser.add_argument("--session", type=float, default=900, help="seconds")
    parser.add_argument("--check", action="store_true", help="look into every account, and end")
    given = parser.parse_args()
    aws = CheapOrganization(given.accounts, given.regions, given.session)
    aws.start()
    with tempfile.TemporaryDirectory(prefix="organization-") as folder:
        if given.check:
            _check(Path(folder), aws)
            return
        watched = _Watched(_collector(Path(folder), aws, given.period))
        try:
            _watch(aws, watched, given)
        finally:
            if not watched.child.alive:
                sys.stdout.write(watched.child.tail() + "\n")
            watched.child.kill()


def _collector(folder: Path, aws: CheapOrganization, period: float) -> Child:
    environment = _configured(folder, aws, period)
    return Child([sys.executable, "-m", "flows", "run"], folder / "log", environment, Path.cwd())


def _check(folder: Path, aws: CheapOrganization) -> None:
    began = time.monotonic()
    environment = _configured(folder, aws, period=300)
    subprocess.run([sys.executable, "-m", "flows", "check"], env=environment, check=False)
    sys.stdout.write(f"{len(aws.accounts)} accounts in {time.monotonic() - began:.0f} s: {dict(aws.calls)}\n")


def _configured(folder: Path, aws: CheapOrganization, period: float) -> dict[str, str]:
    """Write the configuration; return the environment that leads to it and to the AWS."""
    settings = {
        "globals": {
            "persistence": {"type": "filesystem", "config": {"directory_name": str(folder / "state")}}
        },
        "inputs": {
            "all": {
                "id": "1",
                "credentials": {"access_key": "AKIA", "access_secret": "secret"},
                "organization": {},
                "services": {
                    name: {"request_period_in_seconds": period, **one} for name, one in _SERVICES.items()
                },
            }
        },
        "outputs": {"file": {"type": "file", "config": {"path": str(folder / "out")}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{aws.port}",
        "COLLECTOR_CONFIG": str(folder / "config.yaml"),
    }


_FIRST = ("DescribeLogGroups", "ListMetrics", "GET detector", "POST findings")
"""What is asked of every account and region at the start."""


def _watch(aws: CheapOrganization, watched: _Watched, given: argparse.Namespace) -> None:
    began, targets = time.monotonic(), given.accounts * given.regions
    started, peak, before, cpu, row = 0.0, 0, 0, 0.0, began + 60
    sys.stdout.write("minute  calls  calls/s  cpu/s  MiB  threads  written MiB\n")
    while (now := time.monotonic()) < began + given.minutes * 60 and watched.child.alive:
        time.sleep(1)
        peak = max(peak, watched.status("Threads"))
        if not started and all(aws.calls[one] >= targets for one in _FIRST):
            started = now - began
        if now >= row:
            calls, used = aws.calls.total(), watched.cpu()
            sys.stdout.write(
                f"{(now - began) / 60:6.1f}  {calls:5}  {(calls - before) / 60:7.0f}  "
                f"{(used - cpu) / 60:5.2f}  "
                f"{watched.status('VmRSS') / 1024:3.0f}  {watched.status('Threads'):7}  "
                f"{watched.written() / (1 << 20):6.0f}\n"
            )
            sys.stdout.flush()
            before, cpu, row = calls, used, row + 60
    if not watched.child.alive:
        return
    seconds = Counter(int(at - began) for at in aws.assumed)
    renewed = Counter({at: n for at, n in seconds.items() if at > (started or given.session * 0.6)})
    sys.stdout.write(
        f"{given.accounts} accounts x {given.regions} regions x 4 services: {targets * 4} targets\n"
        f"memory at most {watched.status('VmHWM') / 1024:.0f} MiB, threads at most {peak}\n"
        f"every account and region read for the first time after {started:.0f} s\n"
        f"AssumeRole {len(aws.assumed)}; most in a second: at the start "
        f"{max(seconds.values(), default=0)}, renewals {max(renewed.values(), default=0)}\n"
        f"calls {dict(aws.calls.most_common())}\n"
    )


if __name__ == "__main__":
    main()
