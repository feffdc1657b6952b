"""Each object of the seeded corpus is told by its own type and becomes exactly its events."""

import io
from collections import Counter

import pytest

from flows.catalogue.service import Service
from flows.catalogue.services import every, replay_unit
from flows.steps import apply
from sources.objects.decode import DecodeLimits, head, read
from tests.fakes.corpus.sqs import MAKERS, sqs_corpus
from tests.transforms.blocks import is_tag
from transforms import object_kinds
from transforms.block import Block, Origin

SAMPLES = {name: sqs_corpus(6, only=[name]) for name in MAKERS}
each = pytest.mark.parametrize("name", MAKERS)


def made(service: Service, sample, auto=None):
    """Return (tag, line) of every event that a sample becomes."""
    unit = replay_unit(service, None)
    if auto is not None:
        options = unit.options.model_copy(update={"auto_event_type": auto})
        unit = type(unit)(unit.input_id, unit.service_key, unit.account, service, options)
    transform = apply(service.transform(unit))
    found: Counter = Counter()
    for piece in read(io.BytesIO(sample.body), unit.layout().of(sample.key), DecodeLimits()):
        origin = Origin(service.name, "1", "us-east-1", object=f"s3://b/{sample.key}")
        for block in transform([Block(piece.payload, piece.count, origin, header=piece.header)]):
            found.update((block.tag, line) for line in block.payload.split(b"\n")[:-1])
    return found


@each
def test_every_event_arrives_once_under_the_documented_tag(name):
    """An object becomes exactly the events that its maker put into it."""
    for sample in SAMPLES[name]:
        expected = Counter((event.tag_off, event.line) for event in sample.expected)
        assert made(every()[name], sample) == expected
        assert all(is_tag(tag) for tag, _ in expected)


@pytest.mark.parametrize("name", ["aws_sqs_fdr", "aws_sqs_fdr_large"])
def test_crowdstrikes_events_can_share_a_table(name):
    """With `auto_event_type: false` they share the table that Devo's list of services names."""
    for sample in SAMPLES[name]:
        expected = Counter(("edr.crowdstrike.cannon", event.line) for event in sample.expected)
        assert made(every()[name], sample, auto=False) == expected


@each
def test_only_its_own_type_claims_an_object(name):
    """Objects are told apart by what they hold; types with the objects of another leave them to it."""
    for sample in SAMPLES[name]:
        start = head(io.BytesIO(sample.body), 1 << 16)
        claims = [one.name for one in every().values() if one.detect and one.detect(sample.key, start)]
        own = every()[name].detect is not None
        assert claims == [name] if own else len(claims) <= 1 and name not in claims


def test_the_region_is_put_at_the_end():
    """Log events of files get the region of their origin, where those of the API have it."""
    one = Block(b'{"message":"}","account":"1"}\n{"account":"2"}\n', 2, Origin("s", region="eu-west-1"))
    assert object_kinds.with_region(one).payload == (
        b'{"message":"}","account":"1","region":"eu-west-1"}\n{"account":"2","region":"eu-west-1"}\n'
    )
    bare = Block(one.payload, 2, Origin("s"))
    assert object_kinds.with_region(bare) is bare
