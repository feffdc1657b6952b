"""An object's bytes come whole and once, however often the connection breaks."""

import os
from io import BytesIO

import pytest
from botocore.exceptions import FlexibleChecksumError
from hypothesis import given
from hypothesis import strategies as st

from sources.errors import Denied, ObjectBroken, ObjectChanged, ObjectGone, SourceError, Transient, translate
from sources.objects.body import ATTEMPTS, Body, BodyOptions, told_region
from sources.objects.object_ref import ObjectRef
from tests.sources.objects.fake_s3 import LOST, STALLED, FakeS3
from tests.sources.queues.leasing import aws_error

DATA = os.urandom(10_000)
REF = ObjectRef("b", "k")


def opened(s3, ref=REF):
    return Body(s3, ref, "s3://b/k (input test)", pause=lambda _: None)


def whole(body, step=1000):
    return b"".join(iter(lambda: body.read(step), b""))


@pytest.fixture
def s3():
    made = FakeS3()
    made.put("k", DATA)
    return made


def test_reads_to_the_end_with_one_get(s3):
    """An undisturbed object costs one request."""
    body = opened(s3)
    assert (whole(body), body.size, len(s3.asked)) == (DATA, len(DATA), 1)
    assert body.read(10) == b""


@pytest.mark.parametrize("error", [LOST, STALLED, ConnectionResetError(), None], ids=str)
def test_h19_broken_body_goes_on_by_range(s3, error):
    """A body that is cut, stalls or ends short is taken up where it broke, of the same version."""
    s3.cuts = [(3500, error)]
    assert whole(opened(s3)) == DATA
    assert [asked.get("Range") for asked in s3.asked] == [None, "bytes=3500-"]
    assert s3.asked[1]["IfMatch"] == f'"{s3.etags["b", "k"]}"'


@given(st.lists(st.integers(0, 4000), max_size=ATTEMPTS - 2), st.integers(1, 5000))
def test_h19_no_byte_twice_none_missing(cuts, step):
    """Wherever it breaks, the bytes are the same."""
    s3 = FakeS3()
    s3.put("k", DATA)
    s3.cuts = [(size, LOST) for size in cuts]
    assert whole(opened(s3), step) == DATA


@pytest.mark.parametrize("told", ["version_id", "etag"])
def test_h19_a_part_that_passes_for_the_whole_is_no_damage(s3, told):
    """A reply shorter than the notice tells, with a length that fits, is tried again later."""
    ref = ObjectRef("b", "k", size=len(DATA), **{told: s3.etags["b", "k"]})
    half = {"Body": BytesIO(DATA[:5_000]), "ContentLength": 5_000, "ETag": f'"{s3.etags["b", "k"]}"'}
    s3.fault = lambda **asked: None if "Range" in asked else half
    with pytest.raises(Transient, match=r"the reply has 5000 of 10000 bytes: s3://b/k"):
        opened(s3, ref)
    s3.fault = lambda **_: None
    assert whole(opened(s3, ref)) == DATA


def test_an_object_that_was_overwritten_may_have_another_size(s3):
    """Its size was another one's when the notice was written."""
    ref = ObjectRef("b", "k", etag="of another", size=3)
    assert whole(opened(s3, ref)) == DATA


@pytest.mark.parametrize("data", [DATA, b""])
@pytest.mark.parametrize("size", [0, 1, 3, 10_001, 1 << 40])
def test_a4_a_notice_may_tell_a_wrong_size(data, size):
    """Where S3 itself says that the reply is all there is, the notice was wrong: the object is read."""
    s3 = FakeS3()
    etag = s3.put("k", data)
    if size == len(data):
        return
    assert whole(opened(s3, ObjectRef("b", "k", etag=etag, size=size))) == data
    assert len(s3.asked) == 2


def test_h19_progress_earns_new_attempts(s3):
    """A connection that breaks every thousand bytes brings the whole object all the same."""
    s3.cuts = [(1000, LOST)] * 9
    assert whole(opened(s3)) == DATA


def test_h19_no_progress_gives_up(s3):
    """After some attempts without a byte the object is left for later."""
    s3.cuts = [(0, LOST)] * 50
    with pytest.raises(Transient) as caught:
        whole(opened(s3))
    assert len(s3.asked) == ATTEMPTS
    assert "s3://b/k" in str(caught.value)


def test_h19_failing_resumption_is_tried_again(s3):
    """A reopening that is refused for the moment is tried again."""
    s3.cuts = [(100, LOST)]
    answers = [None, aws_error("GetObject", "SlowDown", 503), aws_error("GetObject", "InternalError", 500)]

    def fault(**_):
        error = answers.pop(0) if answers else None
        if error:
            raise error

    s3.fault = fault
    assert whole(opened(s3)) == DATA
    assert len(s3.asked) == 4


def test_overwritten_while_it_is_read(s3):
    """The rest of another version is never put behind the beginning of this one."""
    s3.cuts = [(100, LOST)]
    body = opened(s3)
    s3.put("k", b"something else")
    with pytest.raises(ObjectChanged):
        whole(body)


def test_server_that_ignores_versions_is_not_believed(s3):
    """The rest of another version, given all the same, is not used; its connection is let go."""
    s3.cuts = [(100, LOST)]
    body, rest = opened(s3), BytesIO(b"something else")
    s3.fault = lambda **_: {"Body": rest, "ContentLength": 14, "ETag": '"another"'}
    with pytest.raises(ObjectChanged):
        whole(body)
    assert rest.closed


def test_error_behind_the_last_byte_does_not_matter(s3):
    """When all bytes are here, a connection that ends badly asks for nothing more."""
    s3.cuts = [(len(DATA), LOST)]
    assert whole(opened(s3)) == DATA
    assert len(s3.asked) == 1


def test_wrong_checksum_breaks_the_object(s3):
    """Bytes that S3's own checksum does not fit are not taken as collected."""
    s3.cuts = [(len(DATA), FlexibleChecksumError(error_msg="crc32 differs"))]
    with pytest.raises(ObjectBroken):
        whole(opened(s3))


def test_version_is_asked_for(s3):
    """A versioned object is read by its version, also when it is resumed."""
    s3.cuts = [(100, LOST)]
    whole(opened(s3, ObjectRef("b", "k", version_id="v1")))
    assert [asked["VersionId"] for asked in s3.asked] == ["v1", "v1"]


def test_h19_reply_of_a_proxy_is_no_object(s3):
    """A 200 without S3's own headers is not taken for the object's content; its connection is let go."""
    page = BytesIO(b"<html>")
    s3.fault = lambda **_: {"Body": page, "ContentLength": 20}
    with pytest.raises(Transient):
        opened(s3)
    assert page.closed


def test_server_that_ignores_ranges_is_not_believed(s3):
    """A resumption answered with the whole object gives up instead of doubling its beginning."""
    s3.cuts = [(100, LOST)]
    body = opened(s3)
    whole_reply = s3.get_object(Bucket="b", Key="k")
    s3.fault = lambda **_: whole_reply
    with pytest.raises(Transient):
        whole(body)


@pytest.mark.parametrize(
    ("code", "status", "kind"), [("NoSuchKey", 404, ObjectGone), ("AccessDenied", 403, Denied)]
)
def test_h07_errors_name_the_object(s3, code, status, kind):
    """Errors of opening are of our own tree and say which object, and who asked."""

    def fault(**_):
        raise aws_error("GetObject", code, status)

    s3.fault = fault
    with pytest.raises(kind) as caught:
        opened(s3)
    assert "s3://b/k (input test)" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "more", "region"),
    [
        ("PermanentRedirect", {"Region": "eu-west-1"}, "eu-west-1"),
        ("AuthorizationHeaderMalformed", {"Region": "eu-west-1"}, "eu-west-1"),
        ("PermanentRedirect", {}, ""),
        ("NoSuchKey", {"Region": "eu-west-1"}, ""),
    ],
)
def test_h07_told_region(code, more, region):
    """Only answers about the wrong region tell a region."""
    foreign = aws_error("GetObject", code, 301, **more)
    with pytest.raises(SourceError) as caught:
        raise translate(foreign, "w") from foreign
    assert told_region(caught.value) == region


def test_h07_told_region_by_header():
    """S3's header tells the bucket's region."""
    foreign = aws_error("GetObject", "PermanentRedirect", 301)
    foreign.response["ResponseMetadata"]["HTTPHeaders"] = {"x-amz-bucket-region": "ap-south-1"}
    with pytest.raises(SourceError) as caught:
        raise translate(foreign, "w") from foreign
    assert told_region(caught.value) == "ap-south-1"


class Drip:
    """A stream and a clock: each read brings so many bytes and takes so many seconds."""

    def __init__(self, data, size, seconds):
        self.data, self.size, self.seconds, self.now, self.closed = data, size, seconds, 0.0, 0

    def read(self, _n):
        self.now += self.seconds
        data, self.data = self.data[: self.size], self.data[self.size :]
        return data

    def close(self):
        self.closed += 1


def dripping(s3, drips, data):
    """Open an object whose GETs are answered by these streams; the clock is that of all of them."""
    etag = s3.put("k", data)
    left = iter(drips)

    def fault(**asked):
        start = int(asked.get("Range", "bytes=0-")[6:-1])
        drip = next(left)
        drip.data = data[start:]
        return {"Body": drip, "ContentLength": len(data) - start, "ETag": f'"{etag}"'}

    s3.fault = fault
    options = BodyOptions(floor=1024, window=10.0, clock=lambda: sum(drip.now for drip in drips))
    return Body(s3, ObjectRef("b", "k", "", "", etag, len(data)), "s3://b/k", lambda _seconds: None, options)


def test_s9_a_dripping_body_is_opened_anew_behind_what_came(s3):
    """Less than the floor over a window: the rest is asked for by range, and no byte comes twice."""
    data = bytes(range(256)) * 40
    drips = [Drip(b"", 1, 1.0), Drip(b"", 4096, 0.1)]
    assert whole(dripping(s3, drips, data)) == data
    assert [asked.get("Range") for asked in s3.asked] == [None, "bytes=10-"]
    assert drips[0].closed


def test_a14_a_body_that_goes_on_dripping_is_left_for_later(s3):
    """It holds its fetcher for two windows, then its message goes back."""
    drips = [Drip(b"", 1, 1.0), Drip(b"", 1, 1.0), Drip(b"", 1, 1.0)]
    with pytest.raises(Transient, match=r"bytes came in 10 s, at least 1024 a second are expected"):
        whole(dripping(s3, drips, b"x" * 10_000))
    assert sum(drip.now for drip in drips) == 20


def test_s9_a_dataflow_that_waits_is_not_slow(s3):
    """Only the time spent in waiting for bytes counts, and what is fast enough is never disturbed."""
    drip = Drip(b"", 2048, 1.0)
    data = b"x" * 100_000
    assert whole(dripping(s3, [drip], data)) == data
    assert len(s3.asked) == 1
