"""The corpus is deterministic, unique line by line, and what it says it is."""

import gzip
import io
import json
from collections import Counter

import pyarrow.parquet as pq

from tests.fakes.corpus import FULL, corpus, expected


def test_the_same_seed_makes_the_same_objects():
    """Two runs with one seed agree on every byte; another seed differs."""
    small = dict.fromkeys(FULL, 3)
    assert corpus(small) == corpus(small)
    assert corpus(small, seed=2) != corpus(small)


def test_every_line_is_unique():
    """A repeated line in the corpus would hide a repeated delivery."""
    samples = corpus()
    assert len(samples) == 400
    assert len({sample.key for sample in samples}) == 400
    assert set(expected(samples, auto=False).values()) == {1}
    assert not [event for sample in samples for event in sample.expected if b"\n" in event.line]


def test_objects_hold_what_is_expected_of_them():
    """Read back with the plainest means, CloudTrail and Parquet objects have the expected events."""
    for sample in corpus({"cloudtrail": 60}):
        records = json.loads(gzip.decompress(sample.body)).get("Records", [])
        assert [json.loads(event.line) for event in sample.expected] == records
    for sample in corpus({"parquet": 4}):
        assert pq.read_table(io.BytesIO(sample.body)).num_rows == len(sample.expected)


def test_tags_vary_with_auto_event_type_only():
    """Both countings hold the same lines under other tags."""
    samples = corpus(dict.fromkeys(FULL, 10))
    off, on = (expected(samples, auto=auto) for auto in (False, True))
    assert Counter(line for _, line in off) == Counter(line for _, line in on)
    assert {"cloud.aws.cloudtrail.events", "cloud.aws.vpc.unknown"} <= {tag for tag, _ in off}
    assert {"cloud.aws.cloudtrail.insights", "cloud.aws.vpc.flow"} <= {tag for tag, _ in on}
