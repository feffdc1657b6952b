"""Text is repaired in one pass: UTF-8 is left as it is, whatever else comes becomes it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.objects import text_repair
from sources.objects.text_repair import repaired


@pytest.fixture(autouse=True, scope="module")
def small_slices():
    """Let borders of slices fall into the middle of characters."""
    patch = pytest.MonkeyPatch()
    patch.setattr(text_repair, "_SLICE", 5)
    yield
    patch.undo()


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aé日🦀\n"), max_size=40))
def test_utf8_is_left_as_it_is(text):
    """Wherever a slice ends, a character that it cuts is no damage."""
    assert repaired(text.encode()) == text.encode()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"\xc3", b"\xa9", b"\xf0\x9f", b"\xa6\x80", b"\xff", b"\0"]), max_size=20)
)
def test_what_is_not_becomes_the_replacement_character(parts):
    """The same as Python's own reading of the whole, and NUL with it."""
    text = b"".join(parts)
    assert repaired(text) == text.decode(errors="replace").replace("\0", "\ufffd").encode()


def test_an_end_within_a_character_is_damage():
    """The last character may be cut: what stands for it is told."""
    assert repaired("aé".encode()[:-1]) == "a\ufffd".encode()
