"""Which objects belong to a stretch of time, and how little of a bucket is listed to find them."""

import threading
from datetime import UTC, datetime

import pytest

from sources.errors import Denied
from sources.listed.listing import (
    ListedPrefix,
    ListingCalls,
    Stretch,
    folder_stretch,
    key_moment,
    listed,
    pages,
    wanted,
)

MARCH = Stretch(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


def day(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("prefix", "start", "end"),
    [
        ("AWSLogs/000123456789/CloudTrail/eu-west-1/2026/", day(2026, 1, 1), day(2027, 1, 1)),
        ("AWSLogs/000123456789/CloudTrail/eu-west-1/2026/12/", day(2026, 12, 1), day(2027, 1, 1)),
        ("AWSLogs/000123456789/CloudTrail/eu-west-1/2026/03/04/", day(2026, 3, 4), day(2026, 3, 5)),
        ("AWSLogs/000123456789/vpcflowlogs/eu-west-1/2026/03/04/23/", day(2026, 3, 4, 23), day(2026, 3, 5)),
        ("x/aws-region=eu-west-1/year=2024/month=02/day=29/", day(2024, 2, 29), day(2024, 3, 1)),
        ("managed/dnslogs/2026-03-04/", day(2026, 3, 4), day(2026, 3, 5)),
    ],
)
def test_folders_say_their_stretch(prefix, start, end):
    """A year, month, day or hour of each layout is the stretch of what lies below."""
    assert folder_stretch(prefix) == Stretch(start, end)


@pytest.mark.parametrize(
    "prefix", ["", "AWSLogs/", "AWSLogs/202603040506/", "a/2026/13/", "a/2026-02-30/", "2026x/"]
)
def test_folders_that_say_no_date_may_hold_anything(prefix):
    """An account that looks like a date, and a date that does not exist, hide nothing."""
    assert folder_stretch(prefix) is None


@pytest.mark.parametrize(
    ("key", "moment"),
    [
        ("a/000123456789_CloudTrail_eu-west-1_20260304T0506Z_x.json.gz", day(2026, 3, 4, 5, 6)),
        ("000123456789_vpcflowlogs_eu-west-1_fl-1_20260304T0500Z_7.log.gz", day(2026, 3, 4, 5)),
        ("cf/EDFDVBD6EXAMPLE.2026-03-04-05.1a2b3c4d.gz", day(2026, 3, 4, 5)),
        ("managed/dnslogs/2026-03-04/2026-03-04-05-10-ab12.csv.gz", day(2026, 3, 4, 5, 10)),
        ("some/file.log", None),
    ],
)
def test_keys_say_their_moment(key, moment):
    """The name that AWS or Cisco gives an object holds its time."""
    assert key_moment(key) == moment


def test_the_name_goes_before_the_folder_and_the_folder_before_the_time_of_writing():
    """An object uploaded again later still belongs to its own day."""
    late, early = day(2026, 9, 9), day(2026, 3, 9)
    assert wanted("2026/02/28/x_20260301T0000Z_1.gz", late, MARCH)
    assert not wanted("2026/03/31/x_20260401T0000Z_1.gz", early, MARCH)
    assert wanted("2026/03/31/x.gz", late, MARCH)
    assert wanted("x.gz", early, MARCH)
    assert not wanted("x.gz", late, MARCH)


class Bucket:
    """Answers list_objects_v2 as S3 does, two entries a page."""

    def __init__(self, keys):
        self.keys, self.listed = sorted(keys), []

    def list_objects_v2(self, *, Prefix, Delimiter, ContinuationToken="0", **_):  # noqa: N803 - boto3's
        self.listed.append(Prefix)
        inside = [key.removeprefix(Prefix) for key in self.keys if key.startswith(Prefix)]
        folders = sorted({rest.partition(Delimiter)[0] for rest in inside if Delimiter in rest})
        entries = [("f", one) for one in folders] + [("k", rest) for rest in inside if Delimiter not in rest]
        first = int(ContinuationToken)
        page = entries[first : first + 2]
        reply = {
            "CommonPrefixes": [{"Prefix": f"{Prefix}{one}/"} for kind, one in page if kind == "f"],
            "Contents": [
                {"Key": Prefix + one, "ETag": '"e"', "Size": 5, "LastModified": day(2026, 9, 9)}
                for kind, one in page
                if kind == "k"
            ],
            "IsTruncated": first + 2 < len(entries),
        }
        return {**reply, "NextContinuationToken": str(first + 2)} if reply["IsTruncated"] else reply


def test_only_folders_of_the_stretch_are_listed():
    """A month of one account costs that month's listings, not a year's; every object of it is found once."""
    days = [f"{month:02d}/{one:02d}" for month in (2, 3, 4) for one in (1, 15, 28)]
    keys = [f"AWSLogs/1/CloudTrail/eu-west-1/2026/{one}/f{n}.gz" for one in days for n in range(3)]
    bucket, asked = Bucket([*keys, "AWSLogs/1/CloudTrail/eu-west-1/2025/03/01/f.gz"]), ListingCalls()
    found = list(listed(bucket, "b", "AWSLogs/", MARCH, asked))
    assert sorted(ref.key for ref in found) == [key for key in keys if "/2026/03/" in key]
    assert {(ref.etag, ref.size) for ref in found} == {("e", 5)}
    assert not [prefix for prefix in bucket.listed if "/2025/0" in prefix or "/2026/02/" in prefix]
    assert sum(prefix.endswith("/2025/") for prefix in bucket.listed) == 1, "one look, whether it is a year"
    assert asked.requests == len(bucket.listed)


@pytest.mark.parametrize(
    "inside", ["logs/f.gz", "f.gz", "2026/03/04/f.gz", "1/f.gz", "app=1/dt=20260304/f.gz"]
)
def test_a_tenant_that_is_called_like_a_year_is_no_year(inside):
    """Where one of such folders holds other than months, all beside it are listed, once."""
    tenants = [f"t/{number}/" for number in (1999, 2010, 2011, 2012, 2025, 2026, "acme")]
    written = Stretch(day(2026, 9, 9), day(2026, 9, 10))
    stretch = MARCH if "3" in inside else written
    bucket = Bucket([f"{one}{inside}" for one in tenants])
    found = sorted(ref.key for ref in listed(bucket, "b", "t/", stretch, ListingCalls()))
    assert found == sorted(f"{one}{inside}" for one in tenants)
    assert all(bucket.listed.count(f"{one}") <= 2 for one in tenants)


def test_years_are_looked_into_once_for_each_parent():
    """One request below each parent, whatever the number of its years, and none again by the next listing."""
    years = {}
    bucket = Bucket(
        [f"{top}/{year}/0{month}/f.gz" for top in "ab" for year in range(2010, 2027) for month in (1, 3)]
    )
    for due in (2, 0):
        bucket.listed.clear()
        found = list(pages(bucket, ListedPrefix("b", "", years=years), march, ListingCalls()))
        assert [one["Key"] for page in found for one in page] == ["a/2026/03/f.gz", "b/2026/03/f.gz"]
        past = [prefix for prefix in bucket.listed if prefix[2:3] and "2026" not in prefix]
        assert len(past) == due


def march(folder):
    return (span := folder_stretch(folder)) is None or span.overlaps(MARCH)


def test_a_bucket_that_may_not_be_listed_says_so():
    """The error names the bucket and the permission that is missing."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    class Closed:
        def list_objects_v2(self, **_):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")

    with pytest.raises(Denied, match=r"s3://b/AWSLogs/.*s3:ListBucket"):
        list(listed(Closed(), "b", "AWSLogs/", MARCH, ListingCalls()))


def test_a_listing_that_is_left_half_way_ends():
    """Who takes no more pages leaves no thread behind that waits for room."""
    before = threading.active_count()
    bucket = Bucket([f"f{folder}/{number}.log" for folder in range(40) for number in range(40)])
    found = listed(bucket, "b", "", Stretch(day(2000, 1, 1), day(2100, 1, 1)), ListingCalls())
    assert next(found).key
    found.close()
    assert threading.active_count() == before
