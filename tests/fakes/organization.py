"""An organization on moto's server: accounts that come, leave, are suspended and lose their role.

Each account has a log group, a detector and a metric in each region, and a role that `ROLE` names. Events are
put into all four APIs, each with a number of its own; `due` is what must arrive, by account.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws

ROLE, EXTERNAL_ID = "devo-aws-collector", "id-of-the-test"
_GROUP, _NAMESPACE = "/app", "Test"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
        }
    ],
}


class Organization:
    """An organization of `FakeAws`, whose management account asks. regions: enabled in each account."""

    def __init__(self, aws: FakeAws, regions: Sequence[str]) -> None:
        self.aws, self.regions = aws, tuple(regions)
        self.due: Counter[tuple[str, str]] = Counter()
        self.accounts: list[str] = []
        self._detectors: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._client = self.client("organizations")
        self._client.create_organization(FeatureSet="ALL")
        self._known: dict[str, str] = {}
        server: Any = aws
        server._server.app = _Fast(server._server.app, self.regions, self._known)

    def client(self, service: str, account: str = fake_aws.ACCOUNT, region: str = "us-east-1") -> Any:
        """Return a client of an account."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.aws.url,
            aws_access_key_id=account,
            aws_secret_access_key="secret",
        )

    def join(self, count: int, *, joined_days_ago: float = 100) -> list[str]:
        """Add accounts with their roles."""
        from moto.organizations.models import organizations_backends  # noqa: PLC0415 - slow to import

        added = []
        for _ in range(count):
            number = len(self.accounts) + len(added)
            told = self._client.create_account(AccountName=f"account {number}", Email=f"{number}@a.test")
            added.append(told["CreateAccountStatus"]["AccountId"])
        for one in organizations_backends[fake_aws.ACCOUNT]["aws"].accounts:
            if one.id in added:
                one.create_time = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=joined_days_ago)
        for account in added:
            self.give_role(account)
            for region in self.regions:
                self._furnish(account, region)
        self.accounts += added
        return added

    def _furnish(self, account: str, region: str) -> None:
        from moto.guardduty.models import guardduty_backends  # noqa: PLC0415 - slow to import

        fake_aws.put_log_group(_GROUP, account, region, created=int((time.time() - 10 * 86_400) * 1000))
        made = guardduty_backends[account][region].create_detector(
            enable=True, finding_publishing_frequency="FIFTEEN_MINUTES", data_sources={}, tags={}, features=[]
        )
        self._detectors[account, region] = made

    def leave(self, accounts: Iterable[str]) -> None:
        """Remove accounts from the organization; they are there still, and their roles."""
        for account in accounts:
            self._client.remove_account_from_organization(AccountId=account)

    def suspend(self, account: str, *, state: str = "SUSPENDED") -> None:
        """Set an account's state."""
        from moto.organizations.models import organizations_backends  # noqa: PLC0415 - slow to import

        for one in organizations_backends[fake_aws.ACCOUNT]["aws"].accounts:
            if one.id == account:
                one.status = one.state = state

    def give_role(self, account: str) -> None:
        """Make the role in an account."""
        from moto.iam.models import iam_backends  # noqa: PLC0415 - slow to import

        iam_backends[account]["aws"].create_role(ROLE, json.dumps(_TRUST), "/", None, "", [], "3600")

    def take_role(self, account: str) -> None:
        """Delete the role in an account, and end its sessions."""
        from moto.iam.models import iam_backends  # noqa: PLC0415 - slow to import
        from moto.sts.models import sts_backends  # noqa: PLC0415 - slow to import

        iam_backends[account]["aws"].delete_role(ROLE)
        for backend in sts_backends[fake_aws.ACCOUNT].values():
            backend.assumed_roles = [one for one in backend.assumed_roles if account not in one.role_arn]
        for key, whose in list(self._known.items()):
            if whose == account:
                del self._known[key]

    def put(
        self, accounts: Iterable[str], apis: Iterable[str] = ("trail", "logs", "findings", "metrics")
    ) -> None:
        """Put an event into each of the APIs of each account and region; all of them are due."""
        now = time.time()
        for account in accounts:
            for region in self.regions:
                for api in apis:
                    with self._lock:
                        self._number += 1
                        mark = f"{api}-{self._number:07}"
                        self.due[account, mark] += 1
                    _PUT[api](self, account, region, mark, now)


def _trail(_: Organization, account: str, region: str, mark: str, now: float) -> None:
    text = json.dumps({"mark": mark, "recipientAccountId": account, "awsRegion": region})
    event = {"EventName": "Op", "CloudTrailEvent": text, "EventTime": now}
    fake_aws.put_cloudtrail_events([event], account, region)


def _logs(_: Organization, account: str, region: str, mark: str, now: float) -> None:
    fake_aws.put_log_events(_GROUP, "s", [{"timestamp": int(now * 1000), "message": mark}], account, region)


def _findings(of: Organization, account: str, region: str, mark: str, _now: float) -> None:
    finding = {"Id": f"{mark}", "Title": mark}
    fake_aws.put_findings(of._detectors[account, region], [finding], account, region)


def _metrics(_: Organization, account: str, region: str, mark: str, now: float) -> None:
    fake_aws.put_metric_samples(
        _NAMESPACE, mark, [{"timestamp": now, "value": 1.0}], account=account, region=region
    )


_PUT: dict[str, Callable[[Organization, str, str, str, float], None]] = {
    "trail": _trail,
    "logs": _logs,
    "findings": _findings,
    "metrics": _metrics,
}


class _Fast:
    """What moto lacks, or is slow at with many accounts: ListRegions, and whose a session's key is."""

    def __init__(self, app: Any, regions: Sequence[str], known: dict[str, str]) -> None:
        self._app, self._known = app, known
        told = [{"RegionName": one, "RegionOptStatus": "ENABLED_BY_DEFAULT"} for one in regions]
        self._regions = json.dumps({"Regions": told}).encode()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/listRegions":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("200 OK", [("Content-Length", str(len(self._regions)))])
            return [self._regions]
        return self._app(environ, start_response)
