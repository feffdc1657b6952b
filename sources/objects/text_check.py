"""Whether decoded bytes are text at all: a look at the first thousand, before any of it is an event.

Pictures, archives and binary tables that land in a log bucket would go out as lines of garbage, with a first
line that is taken for a header. Text in any state passes: a few NULs, latin-1, padding.
"""

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
)
_ALL_MARKS = tuple(mark for mark, _ in _MARKS)
_MARKS_OF_TEXT = (b"%PDF-", b"GIF8", b"!<arch>\n")
"""Of those above, what has nothing in it that a text has not."""

_TAR, _TAR_AT = b"ustar", 257
_FEW = 4
_MOST_CONTROLS, _MOST_NULS, _MOST_INVALID = 0.02, 0.10, 0.30
UTF_16 = "UTF-16"


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
    invalid = look.decode(errors="replace").count("\N{REPLACEMENT CHARACTER}")
    if invalid > 4 * _FEW and invalid > _MOST_INVALID * len(look):
        return "no UTF-8"
    return ""


def _alternates(look: bytes, nuls: int) -> bool:
    """Tell two bytes a character: nearly all NULs are at even places, or at odd ones."""
    even = look[::2].count(b"\0")
    return nuls > len(look) // 3 and (even <= nuls // 10 or nuls - even <= nuls // 10)
