"""Whether decoded bytes are text at all: a look at the first thousand, before any of it is an event.

Pictures, archives and binary tables that land in a log bucket would go out as lines of garbage, with a first
line that is taken for a header. Text in any state passes: a few NULs, latin-1, padding.
"""

import re

_LOOK_BYTES = 1024
_CONTROLS = bytes({*range(1, 0x20)} - set(b"\t\n\v\f\r\x1b"))
_CONTROLS_WITHIN = 256
_MARKS = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip"),
    (b"PK\x05\x06", "an empty zip"),
    (b"\x89PNG\r\n", "a PNG"),
    (b"\x7fELF", "a program"),
    (b"Obj\x01", "Avro"),
    (b"ARROW1\0", "Arrow"),
    (b"SQLite format 3\0", "SQLite"),
    (b"GIF87a", "a GIF"),
    (b"GIF89a", "a GIF"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"!<arch>\n", "an archive"),
    (b"\x89LZO", "LZO"),
    (b"\x02\x21\x4c\x18", "lz4 of the old format"),
    (b"\x1f\x9d", "a .Z file"),
)
_ALL_MARKS = tuple(mark for mark, _ in _MARKS)
_MARKS_OF_TEXT = (b"%PDF-", b"GIF8", b"!<arch>\n")
"""Of those above, what has nothing in it that a text has not."""

_TAR, _TAR_AT = b"ustar", 257
_FEW = 4
_MOST_CONTROLS, _MOST_NULS, _MOST_INVALID = 0.02, 0.10, 0.30
_MOST_ODD, _MOST_C1 = 0.05, 0.30
_INVALID, _C1 = re.compile("[\udc80-\udcff]"), re.compile("[\udc80-\udc9f]")
UTF_16, NO_UTF_8 = "UTF-16", "no UTF-8"


def not_text(head: bytes) -> str:
    """Return what the beginning of an object is when it is no text, e.g. `a PNG`, `UTF-16`; else ""."""
    look = head[:_LOOK_BYTES]
    plain = look.isascii() and b"\0" not in look and not look.startswith(_MARKS_OF_TEXT)
    start = look[:_CONTROLS_WITHIN]  # looking at each byte is the dear part
    return "" if plain and len(start.translate(None, _CONTROLS)) == len(start) else _binary(look)


def _binary(head: bytes) -> str:
    if head.startswith(_ALL_MARKS):
        return next(name for mark, name in _MARKS if head.startswith(mark))
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "a tar archive"
    look = head.strip(b"\0")
    nuls = look.count(b"\0")
    if nuls > _FEW and nuls > _MOST_NULS * len(look):
        return UTF_16 if _alternates(look, nuls) else "binary: it is full of NULs"
    controls = len(look) - len(look.translate(None, _CONTROLS))
    if controls > _FEW and controls > _MOST_CONTROLS * len(look):
        return "binary: it is full of control characters"
    if nuls + controls > _FEW and nuls + controls > _MOST_NULS * len(look):
        return "binary: it is full of control characters"
    return _no_utf_8(look, nuls + controls)


def _no_utf_8(look: bytes, controls: int) -> str:
    """Tell binary by what is no UTF-8 in it; in a few bytes, by what single-byte text has not either."""
    text = look.decode(errors="surrogateescape")
    if text.isascii() or not (invalid := len(_INVALID.findall(text))):
        return ""
    c1 = len(_C1.findall(text))  # letters of EBCDIC, and a few marks of Windows' code pages
    odd = controls and c1 + controls > max(1, _MOST_ODD * len(look))
    mixed = controls and invalid > max(_FEW, 3 * _MOST_ODD * len(look))
    few = odd or mixed or (c1 > _FEW and c1 > _MOST_C1 * len(look))
    many = invalid > 2 * _FEW and invalid > _MOST_INVALID * len(look)
    return NO_UTF_8 if many else "binary" if few else ""


def _alternates(look: bytes, nuls: int) -> bool:
    """Tell two bytes a character: nearly all NULs are at even places, or at odd ones."""
    even = look[::2].count(b"\0")
    return nuls > len(look) // 3 and (even <= nuls // 10 or nuls - even <= nuls // 10)
