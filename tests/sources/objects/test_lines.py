"""Text becomes events: one per line, nothing lost, nothing that is no event."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.errors import ObjectBroken
from sources.objects.decode import Layout, skip
from sources.objects.lines import lines
from sources.objects.text_repair import count_lines, without_blanks
from tests.sources.objects.decoding import check, collect, decoded, events, joined
from transforms import umbrella, vpcflow

VPC = Layout(is_header=vpcflow.is_header, glued=True, other_headers=vpcflow.other_headers)
CLOUDFRONT = Layout(comment=b"#")
UMBRELLA = Layout(is_header=umbrella.is_header, quoted=True)
HEADER = b"version account-id interface-id start end log-status"
ROW = b"2 000123456789 eni-1 1 2 OK"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\r\nb\r", [b"a", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"\xef\xbb\xbfa\nb", [b"a", b"b"]),
        (b"\n\na\n\n\n\nb\n\n", [b"a", b"b"]),
        (b"\r\n\r\na\r\n\r\n", [b"a"]),
        (b"caf\xe9\nok", ["caf\ufffd".encode(), b"ok"]),
        (b"\xc3\n\xa9", ["\ufffd".encode(), "\ufffd".encode()]),
        (b"\xed\xa0\x80 half\n", ["\ufffd\ufffd\ufffd half".encode()]),
        ("café 日本 🚀\n".encode(), ["café 日本 🚀".encode()]),
        (b"a\0b\n", ["a\ufffdb".encode()]),
        ("a\u2028b\x85c\x0b\n".encode(), ["a\u2028b\x85c\x0b".encode()]),
        (b"a\n\xef\xbb\xbfb\nc\xef\xbb\xbf\n", [b"a", b"b", b"c\xef\xbb\xbf"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfa\n"[3:] + b"b\r\n\xef\xbb\xbf\r\n", [b"a", b"b"]),
        (bytes(10_240), []),
        (b"a" * 2000 + b"\n" + bytes(512) + b"\nb\n" + bytes(100), [b"a" * 2000, b"b"]),
    ],
    ids=[
        "newlines", "no last newline", "crlf", "crlf cut short", "lone cr", "bom", "blank lines",
        "blank crlf", "latin-1", "cut character", "surrogate", "utf-8", "nul", "other separators",
        "a mark of joined files", "marks alone", "an empty tar", "padding",
    ],
)  # fmt: skip
def test_h08_text_in_any_state(text, expected):
    """Line ends, marks and damaged characters are put right; an event's other bytes stay as they are."""
    assert events(text) == expected


def test_h11_the_header_is_no_event():
    """The first line of a flow log names its columns: it goes along as header, and is no event."""
    pieces = decoded(HEADER + b"\n" + ROW + b"\n", VPC)
    assert [(piece.payload, piece.header) for piece in pieces] == [(ROW + b"\n", HEADER)]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + b"\n" + ROW + b"\n" + HEADER + b"\n" + ROW + b"\n",
        HEADER + b"\n" + ROW + b"\n" + HEADER + b"\n" + HEADER + b"\n" + ROW,
        HEADER + b"\n" + ROW + HEADER + b"\n" + ROW + b"\n",
        HEADER + b"\r\n" + ROW + b"\r\n" + HEADER + b"\r\n" + ROW + b"\r\n",
        b"\xef\xbb\xbf\n" + HEADER + b"\n" + ROW + b"\n" + ROW + b"\n" + HEADER,
    ],
    ids=["again", "twice", "glued", "crlf", "bom, and at the end"],
)
def test_h11_the_header_is_no_event_in_mid_file_either(text):
    """Files joined by their writer repeat the header, even glued to a line that had no newline."""
    assert events(text, VPC) == [ROW, ROW]


LETTERED = b"region srcaddr subnet-id", b"us-east-1 10.0.0.1 subnet-1"
BACKWARDS = b" ".join(reversed(HEADER.split())), b" ".join(reversed(ROW.split()))
DEFAULT = vpcflow.DEFAULT_FIELDS, b"2 000123456789 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 2 3 4 ACCEPT OK"


def titled(text: bytes, layout: Layout = VPC) -> list[tuple[bytes, bytes]]:
    """Return each event with the header that it is a row of."""
    return [(piece.header, row) for piece in decoded(text, layout) for row in piece.payload.splitlines()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\xef\xbb\xbf", b"\n\n"])
@pytest.mark.parametrize("first", [(HEADER, ROW), LETTERED, BACKWARDS, DEFAULT])
@pytest.mark.parametrize("second", [(HEADER, ROW), LETTERED, BACKWARDS, DEFAULT, (b"srcaddr", b"10.0.0.1")])
def test_h11_another_header_in_mid_file_names_what_follows(first, second, end):
    """Files of other fields joined to one: no header is an event, and each row is read by its own."""
    one, two = [end.join([*part, b""]) for part in (first, second)]
    assert titled(one + two + two + one) == [first, second, second, first]
    assert titled(first[1] + end + two) == [(b"", first[1]), second]
    if second[0].count(b" ") and second != BACKWARDS:
        assert titled(one.removesuffix(end) + two) == [first, second]
    assert titled(end.join([first[0], second[0], *second])) == [second]


def test_h11_another_header_is_found_in_every_chunk():
    """Large files too, whatever stands before; a part of a line that looks like a header stays."""
    more = [ROW] * 60_000
    joined_ = b"\n".join([HEADER, *more, *LETTERED, ROW[:-2] + b"a start end", HEADER, *more, b"srcaddr x.y"])
    assert titled(joined_) == [
        *[(HEADER, row) for row in more],
        LETTERED,
        (LETTERED[0], ROW[:-2] + b"a start end"),
        *[(HEADER, row) for row in (*more, b"srcaddr x.y")],
    ]


def test_h11_many_headers_are_found_in_bounds():
    """Ten thousand files of two kinds in one object are looked through once."""
    text = b"\n".join([HEADER, ROW, *BACKWARDS, b""]) * 10_000
    assert titled(text) == [(HEADER, ROW), BACKWARDS] * 10_000


def test_h11_a_header_of_one_column_goes_only_as_a_whole_line():
    """A one-word header may be the end of a longer line: only lines that are the header are taken out."""
    assert events(b"action\nACCEPT\nx action\naction\nREJECT\n", VPC) == [b"ACCEPT", b"x action", b"REJECT"]


@pytest.mark.parametrize(
    "text",
    [
        b"raw message\ncannot parse raw message\n",
        b"a,b\nx,see a,b\n",
        b"a,b\n1,2a,b\n",
        b"a\nxa\na,a\n",
    ],
)
def test_r7_text_of_a_header_within_a_row_stays(text):
    """Only a whole line that equals the header is one."""
    csv = Layout(is_header=lambda _line: True, quoted=True, separator=b",")
    header, _, rest = text.partition(b"\n")
    assert events(text, csv) == [line for line in rest.split(b"\n")[:-1] if line != header]
    assert events(text + header + b"\nz\n", csv)[-1] == b"z"


def test_r7_a_header_is_glued_only_to_a_whole_row():
    """A flow log's header at the end of a row is cut off when that row is complete; else the line stays."""
    short = ROW.rsplit(b" ", 2)[0]
    assert events(b"\n".join([HEADER, ROW + HEADER, short + HEADER, b""]), VPC) == [ROW, short + HEADER]


def test_h11_a_file_of_header_only_has_no_events():
    """No rows, no pieces."""
    assert decoded(HEADER + b"\n", VPC) == []


def test_h11_without_header_the_first_line_is_an_event():
    """NODATA rows of dashes are not taken for names."""
    row = b"2 123456789012 eni-1 - - - - - - - 1 2 - NODATA"
    (piece,) = decoded(row + b"\n" + row + b"\n", VPC)
    assert (piece.count, piece.header) == (2, b"")


def test_h12_comments_are_no_events():
    """`#Version` and `#Fields` are no events anywhere; `#` within a line is nothing special."""
    heads = b"#Version: 1.0\n#Fields: date cs-uri-stem\n"
    text = heads + b"1\t/a#b\n" + heads + b"2\t#c\n"
    (piece,) = decoded(text, CLOUDFRONT)
    assert (piece.payload, piece.header) == (b"1\t/a#b\n2\t#c\n", b"date cs-uri-stem")


def test_h12_new_fields_in_mid_file_begin_a_new_piece():
    """A row always comes with the names of its own columns."""
    text = b"#Fields: a b\n1\t2\n#Fields: a b c\n1\t2\t3\n4\t5\t6\n"
    assert [(p.header, p.payload) for p in decoded(text, CLOUDFRONT)] == [
        (b"a b", b"1\t2\n"),
        (b"a b c", b"1\t2\t3\n4\t5\t6\n"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"a","b, c"\n"d","e"\n', [b'"a","b, c"', b'"d","e"']),
        (b'"a","b\nc"\n"d","e"\n', [b'"a","b c"', b'"d","e"']),
        (b'"a","b\r\nc\r\n"\r\n"d"\r\n', [b'"a","b c "', b'"d"']),
        (b'"a","say ""x\ny"""\n"d"\n', [b'"a","say ""x y"""', b'"d"']),
        (b'"a", "b"\n', [b'"a", "b"']),
        (b"a,b\n\nc,d", [b"a,b", b"c,d"]),
        (b'"a","b\n\n\nc"\n', [b'"a","b   c"']),
    ],
    ids=[
        "commas",
        "newline",
        "crlf",
        "doubled quotes",
        "space before a quote",
        "no quotes",
        "blank lines in quotes",
    ],
)
def test_h13_newlines_within_quotes_are_part_of_the_event(text, expected):
    """A quoted newline becomes a space, so that the record stays one event; all else stays as it is."""
    assert events(text, UMBRELLA) == expected


@pytest.mark.parametrize("rows", [3, 250, 4000])
def test_h13_an_unbalanced_quote_does_not_swallow_the_file(rows):
    """A row with a stray quote comes out as it stands, and the rows after it are rows."""
    stray = b'2026-01-02 03:04:05,"stray'
    good = [b'"2026-01-02 03:04:05","x %d"' % number for number in range(rows)]
    assert events(b"\n".join([good[0], stray, *good]), UMBRELLA) == [good[0], stray, *good]


def test_h13_a_stray_quote_among_rows_without_dates():
    """When rows do not show where they begin, a record that grows too long is given up, line by line."""
    rows = [b"x,%d" % number for number in range(300)]
    assert events(b"\n".join([b'stray",x', *rows]), UMBRELLA) == [b'stray",x', *rows]


def test_h13_a_stray_quote_in_the_last_lines():
    """At the end of the file, lines of an open record come out as they stand."""
    assert events(b'"a"\n"b\n"c"\n"d', UMBRELLA)[0] == b'"a"'
    assert b"".join(events(b'"a"\n"b\nc', UMBRELLA)) == b'"a""bc'


def test_h13_an_optional_header_row_is_no_event():
    """Umbrella can be told to write column names: words, and no date."""
    names = b'"Timestamp","Most Granular Identity","Identities","Action"'
    row = b'"2026-01-02 03:04:05","Laptop","Laptop","Allowed"'
    assert events(names + b"\n" + row + b"\n", UMBRELLA) == [row]
    assert events(row + b"\n" + row, UMBRELLA) == [row, row]


@pytest.mark.parametrize("kind", [Layout(), UMBRELLA, Layout(comment=b"#")], ids=["lines", "csv", "comments"])
@pytest.mark.parametrize("before", [b"", b"ok\n", b"ok\n" * 400_000])
def test_r3_a_line_over_the_limit_costs_itself(kind, before):
    """It is damage, told with its place and its beginning; what stands before and behind it is sent."""
    long = b"x" * (18 << 20)
    found = decoded(before + long + b"\nbehind,it\n" + long + b"y\nlast\n" + long, kind)
    bad = [piece for piece in found if piece.reason]
    assert joined(found) == before + b"behind,it\nlast\n"
    assert {(piece.reason, piece.payload, piece.count) for piece in bad} == {
        ("line_too_long", b"x" * 1024, 1)
    }
    ends = [len(long), len(long) + 1, len(long)]
    starts = [len(before), len(before) + ends[0] + 11, len(before) + ends[0] + 11 + ends[1] + 6]
    told = [
        f"a line of {size} bytes, at byte {at} of the text" for size, at in zip(ends, starts, strict=True)
    ]
    assert [piece.detail for piece in bad] == told
    check(found)


def test_r3_a_resume_behind_a_line_over_the_limit():
    """It counts as one record, so what stands behind it is found again."""
    whole = b"a\nb\n" + b"x" * (18 << 20) + b"\nc\nd\n"
    rests = [list(skip(iter(decoded(whole)), done)) for done in range(6)]
    told = [[piece.reason or piece.payload for piece in rest] for rest in rests]
    bad = "line_too_long"
    assert told == [
        [b"a\nb\n", bad, b"c\nd\n"],
        [b"b\n", bad, b"c\nd\n"],
        [bad, b"c\nd\n"],
        [b"c\nd\n"],
        [b"d\n"],
        [],
    ]


def test_an_object_of_nothing_but_a_line_over_the_limit():
    """It ends the object, as does one that has no end."""
    found, error = collect(b"x" * (18 << 20) + b"\n\n")
    assert (found, error.reason, error.record) == ([], "line_too_long", 0)
    pieces = lines(iter([b"ok\n", *[b"x" * 1000] * 100]), Layout(), 1000)
    assert next(pieces).payload == b"ok\n"
    with pytest.raises(ObjectBroken, match="a line of 17000 bytes and more"):
        next(pieces)


_texts = st.lists(
    st.one_of(
        st.sampled_from([b"", b"\r", HEADER, b"#Version: 1.0", b'"', b'a"b', b'"x,y"']),
        st.sampled_from([b"\xef\xbb\xbf", b"\0", b"\xff"]),
        st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")),
    ),
    max_size=20,
).map(b"\n".join)  # fmt: skip


@given(
    text=_texts,
    cuts=st.lists(st.integers(0, 200), max_size=8),
    layout=st.sampled_from([VPC, CLOUDFRONT, UMBRELLA]),
)
def test_lines_do_not_depend_on_chunks(text, cuts, layout):
    """However a text is cut into chunks, the same events come out."""
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[start:end] for start, end in itertools.pairwise(borders)]
    pieces = list(lines(iter(chunks), layout, 1 << 20))
    check(pieces)
    assert joined(pieces) == joined(lines(iter([text] if text else []), layout, 1 << 20))


@given(_texts)
def test_plain_lines_lose_nothing(text):
    """What comes out is what a plain reading of the repaired text gives, less the blank lines."""
    padded = b"\n".join(line if line.strip(b"\0") else b"" for line in text.split(b"\n"))
    plain = padded.decode(errors="replace").replace("\0", "\ufffd").removeprefix("\ufeff") + "\n"
    plain = plain.replace("\n\ufeff", "\n")
    expected = "".join(f"{line}\n" for line in plain.replace("\r\n", "\n").split("\n") if line)
    assert joined(lines(iter([text] if text else []), Layout(), 1 << 20)) == expected.encode()


@given(
    st.lists(st.sampled_from([b"#", b"#x", b"#Fields: a", b"#Fields: b", b"", b"a", b"a#b", b"\r"])).map(
        b"\n".join
    )
)
def test_h12_comments_are_those_of_a_plain_reading(text):
    """Each row comes once, in its order, with the last `#Fields:` line before it."""
    header, expected = b"", []
    for line in text.replace(b"\r", b"").split(b"\n"):
        if line.startswith(b"#Fields:"):
            header = line.partition(b" ")[2]
        elif line and not line.startswith(b"#"):
            expected.append((header, line))
    found = lines(iter([text] if text else []), CLOUDFRONT, 1 << 20)
    assert [(one.header, row) for one in found for row in one.payload.split(b"\n")[:-1]] == expected


@given(st.lists(st.sampled_from([b"", b"a", b"bc"])).map(lambda rows: b"".join(row + b"\n" for row in rows)))
def test_counting_and_blank_lines(text):
    """The fast forms agree with the plain ones."""
    kept = [line for line in text.split(b"\n") if line]
    assert without_blanks(text) == (b"".join(line + b"\n" for line in kept), len(kept))
    assert count_lines(text) == text.count(b"\n")


@pytest.mark.parametrize("size", [1, 200_000])
def test_r4_lines_that_end_in_cr_alone(size):
    """An object of such lines has all of them as events, and a header is its first line only."""
    rows = b"".join(b"%d,two\r" % number for number in range(size))
    assert collect(rows)[0] == [b"%d,two" % number for number in range(size)]
    header = Layout(is_header=lambda _line: True, quoted=True, separator=b",")
    assert collect(b"a,b\r" + rows, header)[0] == collect(rows)[0]
    assert collect(b"one line\r")[0] == [b"one line"]
