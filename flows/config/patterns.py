r"""Regular expressions that users write for object keys, matched by RE2: its time grows with the key only.

Whoever may put objects into a bucket chooses the keys, and Python's own engine takes years on some of them.
RE2 (https://github.com/google/re2/wiki/Syntax) never goes back. Devo's collector takes Python's dialect, so
what both can say is rewritten from one to the other: `\d` and `\w` of any script, `$` before a last newline,
`\Z`, `\u0416`, `{,3}`, `[[`. What RE2 cannot do is refused: look-around, back-references, possessive
repeats.

One look-around is common in Devo's configurations, `(?!.*Digest).*json`, and is kept: a pattern that begins
with `(?!X)` means "X is not found at the key's beginning, and the rest is found".
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from transforms.fields import Match

MOST_BYTES = 8 << 20
"""What one pattern may take, automaton and all; RE2 refuses what is larger."""

_PART = re.compile(r"\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\.|\{,\d+\}|\[\^?\]?|.", re.DOTALL)
_MULTILINE = re.compile(r"\(\?[a-ln-z]*m")
_LOOK = re.compile(r"\(\?<?[=!]")
_BACK_REFERENCE = re.compile(r"\(\?P=|\\[1-9]")
_NOT_BEHIND = "(?!"
_BEGINNING = re.compile(r"(\(\?[is]+\))?\^?(?=\(\?!)")

_LETTER, _SPACE = r"\p{L}\p{N}_", r"\s\p{Z}\x0b\x1c-\x1f\x{85}"
_OUTSIDE = {
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\w": f"[{_LETTER}]",
    r"\W": f"[^{_LETTER}]",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
    r"\Z": r"\z",
}
_INSIDE = {r"\d": r"\p{Nd}", r"\D": r"\P{Nd}", r"\w": _LETTER, r"\s": _SPACE, "[": r"\["}
"""Of a set: `\\W` and `\\S` stay RE2's there, which know ASCII only."""


class KeyPattern(Struct, frozen=True):
    """A pattern on an object's key.

    pattern: as the user wrote it. groups: names of its named groups.
    """

    pattern: str
    groups: frozenset[str]
    _found: Any
    _unwanted: tuple[Any, ...] = ()

    def search(self, key: str) -> Match | None:
        """Return where a key has what is looked for, None if it does not."""
        text = key.encode("utf-8", "replace").decode()  # a lone surrogate is no character
        if any(one.match(text) for one in self._unwanted):
            return None
        found: Match | None = self._found.search(text)
        return found

    def fits(self, key: str) -> bool:
        """Tell whether a key has what is looked for."""
        return self.search(key) is not None


def compiled(pattern: str) -> KeyPattern:
    """Compile a pattern; raises ValueError saying what is wrong with it, or what to write instead."""
    unwanted, rest = _leading_negations(pattern)
    found = _re2(rest)
    return KeyPattern(pattern, frozenset(found.groupindex), found, tuple(map(_re2, unwanted)))


def _re2(pattern: str) -> Any:
    import re2  # noqa: PLC0415 - loaded by those who have a pattern

    options = re2.Options()
    options.max_mem, options.log_errors = MOST_BYTES, False
    try:
        return re2.compile(_translated(pattern), options)
    except re2.error as error:
        raise ValueError(_why(pattern, error.args[0].decode(errors="replace").replace(": ", " "))) from error
    except UnicodeEncodeError as error:
        raise ValueError("is no regular expression (half of a surrogate pair is no character)") from error


def _why(pattern: str, said: str) -> str:
    if _LOOK.search(pattern):
        return (
            "is no regular expression of RE2, which has no look-around but (?!…) at the beginning: "
            "write what is to be found"
        )
    if _BACK_REFERENCE.search(pattern):
        return "is no regular expression of RE2, which has no back-references: write the text again"
    return f"is no regular expression of RE2 ({said}): see https://github.com/google/re2/wiki/Syntax"


def _leading_negations(pattern: str) -> tuple[list[str], str]:
    """Take `(?!X)(?!Y)…` off the beginning of a pattern: ([X, Y], the rest); with flags, each has them."""
    found = _BEGINNING.match(pattern)
    flags, start = (found[1] or "", found[0]) if found else ("", "")
    rest, unwanted = pattern.removeprefix(start), []
    while rest.startswith(_NOT_BEHIND) and (end := _closing(rest)):
        unwanted.append(flags + rest[len(_NOT_BEHIND) : end])
        rest = rest[end + 1 :]
    return (unwanted, start + rest) if unwanted and not _has_alternatives(rest) else ([], pattern)


def _has_alternatives(pattern: str) -> bool:
    """Tell whether a pattern has a `|` outside of groups: a look-ahead before it is of the first one only."""
    depth = 0
    for part, inside in _tokens(pattern):
        depth += 0 if inside else {"(": 1, ")": -1}.get(part, 0)
        if part == "|" and not inside and not depth:
            return True
    return False


def _closing(pattern: str) -> int:
    """Return where the group ends with which a pattern begins; 0 when it does not end."""
    depth = at = 0
    for part, inside in _tokens(pattern):
        depth += 0 if inside else {"(": 1, ")": -1}.get(part, 0)
        if not depth:
            return at
        at += len(part)
    return 0


def _translated(pattern: str) -> str:
    """Write a pattern of Python's dialect in RE2's."""
    end = "$" if _MULTILINE.search(pattern) else r"(?:\n?\z)"
    return "".join(_rewritten(part, end, inside=inside) for part, inside in _tokens(pattern))


def _rewritten(part: str, end: str, *, inside: bool) -> str:
    if part[:2] in {r"\u", r"\U"} and len(part) > len(r"\u"):
        return rf"\x{{{part[2:]}}}"
    if inside:
        return _INSIDE.get(part, part)
    if part.startswith("{,"):
        return "{0" + part[1:]
    return end if part == "$" else _OUTSIDE.get(part, part)


def _tokens(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield a pattern's characters, escapes and beginnings of sets, each with whether it is inside a set."""
    inside, at = False, 0
    while at < len(pattern):
        found = _PART.match(pattern, at)
        assert found  # noqa: S101 - any character is a part
        part = pattern[at] if inside and pattern[at] in "[{" else found[0]
        yield part, inside
        if not inside and part.startswith("["):
            inside = True
        elif part == "]":
            inside = False
        at += len(part)
