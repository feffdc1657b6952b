"""Which S3 object is meant: what a notice, a listing or a quarantine tells of it."""

import re

from msgspec import Struct

from sources.aws.partitions import is_region

_LAYOUTS = (
    re.compile(
        r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(?P<account>\d{12})/(?:[^/]+/(?P<region>[a-z][a-z0-9-]+)/)?"
    ),
    re.compile(r"/aws-account-id=(?P<account>\d{12})/(?:.*?/)?aws-region=(?P<region>[a-z0-9-]+)/"),
    re.compile(r"/region=(?P<region>[a-z0-9-]+)/accountId=(?P<account>\d{12})/"),
)


class ObjectRef(Struct, frozen=True):
    """One object to collect. key: as S3 knows it, decoded. region, account, version_id, etag: "" = unknown.

    size: stored bytes, -1 = unknown.
    """

    bucket: str
    key: str
    region: str = ""
    version_id: str = ""
    etag: str = ""
    size: int = -1
    account: str = ""

    @property
    def id(self) -> str:
        """Return what makes a repeat of this object recognisable."""
        return f"{self.bucket}/{self.key}@{self.version_id or self.etag}"

    @property
    def uri(self) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


def place_of(key: str) -> tuple[str, str]:
    """Return the account and the region that a key names where AWS lays it out; "" = it names none."""
    found = next(filter(None, (layout.search(key) for layout in _LAYOUTS)), None)
    told = found.groupdict() if found else {}
    region = told.get("region") or ""
    return told.get("account") or "", region if is_region(region) else ""
