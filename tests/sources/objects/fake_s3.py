"""What the tests of objects share: an S3 in memory that fails on plan."""

import hashlib
from io import BytesIO

from botocore.exceptions import ReadTimeoutError, ResponseStreamingError
from botocore.response import StreamingBody

from tests.sources.queues.leasing import Account, aws_error


class Broken(BytesIO):
    """A stream that yields so many bytes and then raises, or ends."""

    def __init__(self, data: bytes, error: Exception | None) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size=-1, **_):
        data = super().read(size)
        if not data and self._error:
            raise self._error
        return data


LOST = ResponseStreamingError(error="connection lost")
STALLED = ReadTimeoutError(endpoint_url="http://s3")


class FakeS3:
    """A boto3-like client of buckets in memory. cuts: for each GET in turn, (bytes before it breaks, error).

    faults: called with each request; may raise, or return a reply to be given instead.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.etags: dict[tuple[str, str], str] = {}
        self.cuts: list[tuple[int, Exception | None] | None] = []
        self.asked: list[dict] = []
        self.regions: list[str] = []
        self.fault = lambda **_: None

    @property
    def account(self) -> Account:
        return Account(self.client)

    def client(self, _service: str, region: str) -> "FakeS3":
        self.regions.append(region)
        return self

    def put(self, key: str, data: bytes, bucket: str = "b") -> str:
        self.objects[bucket, key] = data
        self.etags[bucket, key] = hashlib.md5(data).hexdigest()  # noqa: S324 - what S3 does
        return self.etags[bucket, key]

    def get_object(self, **asked):
        self.asked.append(asked)
        instead = self.fault(**asked)
        if instead is not None:
            return instead
        found = self.objects.get((asked["Bucket"], asked["Key"]))
        if found is None:
            raise aws_error("GetObject", "NoSuchKey", 404)
        etag = f'"{self.etags[asked["Bucket"], asked["Key"]]}"'
        if asked.get("IfMatch", etag) != etag:
            raise aws_error("GetObject", "PreconditionFailed", 412)
        first, _, last = asked.get("Range", "bytes=0-")[6:].partition("-")
        rest = found[int(first) : int(last) + 1 if last else None]
        if "Range" in asked and not rest:
            raise aws_error("GetObject", "InvalidRange", 416)
        cut = self.cuts.pop(0) if self.cuts else None
        stream = Broken(rest[: cut[0]], cut[1]) if cut else Broken(rest, None)
        told = {"ContentRange": f"bytes {first}-{last}/{len(found)}"} if "Range" in asked else {}
        return {"Body": StreamingBody(stream, len(rest)), "ContentLength": len(rest), "ETag": etag, **told}
