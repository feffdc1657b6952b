"""Which S3 object is meant: what a notice, a listing or a quarantine tells of it."""

from msgspec import Struct


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
