"""Regular expressions that users write for object keys, kept from running away.

Python's engine backtracks: `(a+)+b` takes longer than the universe is old on 60 letters a. Whoever may put
objects into a bucket chooses the keys, so patterns that can explode are refused when the configuration is
read, by looking at the parsed pattern:

- In a repeated group, each part of varying length must be followed by a character that it cannot itself
  match, as in `([^/]+/)*`; alternatives must differ in their first character.
- Elsewhere a part that may have to give characters back to what follows it, as in `.*/CloudTrail/.*gz`,
  costs a factor: as many as it has lengths, 1,024 at most (the longest key), also when it is optional or an
  alternative. A beginning that is neither `^` nor `.*` costs one, being tried at each place, and so does
  a part that is read again after others have given back. Three such factors are allowed.
- No back-references.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from math import prod
from re import _parser as sre  # type: ignore[attr-defined] # the only parser of Python's own dialect
from typing import Any
from warnings import catch_warnings

LONGEST_KEY = 1024
"""S3's maximum; longer texts are cut to it before a pattern sees them."""

_LOOSE_PARTS = 3
_MOST_STEPS = 2 * LONGEST_KEY**_LOOSE_PARTS
"""What a pattern may take on the worst key, about; some seconds, divided by six in truth."""

_FEW = 16
"""To read a character so many times again is nothing."""

_LOCAL_FLAG = re.compile(r"\(\?[a-zA-Z]*i")

_OTHER = "\u0416"
_EVERY = frozenset(chr(code) for code in range(256)) | {_OTHER}
"""Stand-ins for all characters: Latin-1, and one for the rest."""

_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_LOOKS = (sre.ASSERT, sre.ASSERT_NOT)
_BACK = (sre.GROUPREF, sre.GROUPREF_EXISTS)
_STARTS = (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING)
_ENDS = (sre.AT_END, sre.AT_END_STRING)
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    sre.CATEGORY_DIGIT: str.isdigit,
    sre.CATEGORY_NOT_DIGIT: lambda char: not char.isdigit(),
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    sre.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    sre.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


def bounded(pattern: str) -> re.Pattern[str]:
    """Compile a pattern; raises ValueError telling what could run away, or what is wrong with it."""
    try:
        compiled, tree = _parsed(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression ({error})") from error
    flags = re.IGNORECASE if compiled.flags & re.IGNORECASE or _LOCAL_FLAG.search(pattern) else 0
    steps = prod(_steps(part, flags) for part in _sequences(tree, flags))
    if steps * (1 if _begins_once(pattern) else LONGEST_KEY) > _MOST_STEPS:
        raise ValueError(
            f"has too many parts such as .* that can match what follows them: use at most {_LOOSE_PARTS}, "
            "write [^/]* instead of .*, and begin with ^"
        )
    return compiled


@cache
def _parsed(pattern: str) -> tuple[re.Pattern[str], Any]:
    with catch_warnings(action="ignore"):  # of what a later Python may read otherwise
        return re.compile(pattern), sre.parse(pattern)


def matches(pattern: re.Pattern[str], key: str) -> bool:
    """Tell whether a pattern is found anywhere in an object's key."""
    key = key[:LONGEST_KEY]
    if not _begins_once(pattern.pattern):
        return pattern.search(key) is not None
    lines = (0, *(found.end() for found in re.finditer("\n", key)))
    return any(pattern.match(key, at) for at in lines)


@cache
def _begins_once(pattern: str) -> bool:
    """Tell whether a pattern that is not found at a line's beginning is found nowhere: `^…`, `.*…`."""
    first = next(iter(_flatten(_parsed(pattern)[1])), None)
    if first is None or (first[0] is sre.AT and first[1] in _STARTS):
        return True
    return bool(
        first[0] in _REPEATS and first[1][0] == 0 and _is_any(first[1][2]) and first[1][1] > LONGEST_KEY
    )


def _sequences(tree: Sequence[Any], flags: int) -> Iterator[list[Any]]:
    """Yield every run of parts that follow each other: the pattern, its look-arounds and alternatives.

    Raises ValueError for what is dangerous whatever stands around it.
    """
    flat = _flatten(tree)
    yield flat
    for operation, value in flat:
        if operation in _BACK:
            raise ValueError("has a back-reference, which can run away: write it without")
        if operation in _LOOKS:
            yield from _sequences(value[1], flags)
        elif operation is sre.BRANCH:
            for branch in value[1]:
                yield from _sequences(branch, flags)
        elif operation in _REPEATS and not _is_character(value[2]):
            if value[1] > 1:
                _check_loop(_flatten(value[2]), flags)
            else:
                yield from _sequences(value[2], flags)


def _flatten(tree: Sequence[Any]) -> list[Any]:
    """Return the parts of a sequence with groups opened."""
    parts: list[Any] = []
    for operation, value in tree:
        if operation is sre.SUBPATTERN:
            parts += _flatten(value[3])
        elif operation is sre.ATOMIC_GROUP:
            parts += _flatten(value)
        else:
            parts.append((operation, value))
    return parts


def _check_loop(body: list[Any], flags: int) -> None:
    """Refuse a repeated group of which one text can be read in two ways."""
    for position, (operation, value) in enumerate(body):
        if operation in _LOOKS or operation in _BACK:
            raise ValueError("repeats a group with a look-around or back-reference: write it without")
        if operation is sre.BRANCH:
            _check_branches([_flatten(branch) for branch in value[1]], flags)
        elif operation in _REPEATS:
            own = _characters(_flatten(value[2]), flags) if _is_character(value[2]) else None
            follower = _first(body[(position + 1) % len(body)], flags)
            varies = value[0] != value[1]
            if own is None or (varies and (follower is None or own & follower)):
                raise ValueError(
                    "repeats a group of which a part can match what follows it, which can run away: "
                    "end the part with a character that it cannot match, as in ([^/]+/)*"
                )


def _check_branches(branches: list[list[Any]], flags: int) -> None:
    seen: frozenset[str] = frozenset()
    for branch in branches:
        first = _first(branch[0], flags) if branch else None
        if first is None or first & seen or not all(_is_character([part]) for part in branch):
            raise ValueError("repeats alternatives that can match the same text, which can run away")
        seen |= first


def _steps(sequence: list[Any], flags: int) -> int:
    """Return about how often a sequence may be tried from one place: the product of its parts' choices."""
    steps, read_again = 1, False
    for part, following in pairwise(sequence):
        choices = _choices(part, following, flags)
        read_again = read_again or (choices == 1 and steps > 1 and _is_long(part, following))
        steps *= choices
    return steps * (LONGEST_KEY if read_again else 1)


def _choices(part: Any, following: Any, flags: int) -> int:
    """Return in how many ways a part may match so that what follows it has to be tried."""
    operation, value = part
    if operation is sre.BRANCH:
        return _ways([_flatten(branch) for branch in value[1]], flags)
    if operation not in _REPEATS or operation is sre.POSSESSIVE_REPEAT or _is_rest(part, following):
        return 1
    body, follower = _flatten(value[2]), _first(following, flags)
    own = (
        _first(body[0], flags)
        if _is_character(body) or (value[1] == 1 and _span(body) == 1 and body)
        else None
    )
    is_loose = own is None or follower is None or bool(own & follower)
    return _span([part]) if is_loose else 1


def _ways(branches: list[list[Any]], flags: int) -> int:
    """Return in how many ways alternatives may match: if they differ at the beginning, one of them only."""
    spans, seen, differ = [], frozenset[str](), True
    for branch in branches:
        first = _first(branch[0], flags) if branch else None
        differ = differ and first is not None and not first & seen
        seen |= first or frozenset()
        spans.append(_span(branch[-1:]))
    return max(spans) if differ else sum(spans)


def _span(parts: Sequence[Any]) -> int:
    """Return about how many lengths a run of parts can have, the longest key's at most."""
    spans = 1
    for operation, value in parts:
        if operation in _REPEATS:
            most = min(value[1], LONGEST_KEY)
            inner = _span(_flatten(value[2])[-1:] if most == 1 else _flatten(value[2]))
            spans *= (most - value[0] + 1) * (inner if most == 1 else LONGEST_KEY if inner > 1 else 1)
        elif operation is sre.BRANCH:
            spans *= sum(_span(_flatten(branch)[-1:]) for branch in value[1])
    return min(spans, LONGEST_KEY)


def _is_long(part: Any, following: Any) -> bool:
    """Tell whether a part may read much of a key, and fail only after that."""
    operation, value = part
    return operation in _REPEATS and value[1] > _FEW and not _is_rest(part, following)


def _is_rest(part: Any, following: Any) -> bool:
    """Tell `.*$`: it reads on to the end, and cannot fail there."""
    operation, value = part
    at_end = following[0] is sre.AT and following[1] in _ENDS
    return bool(operation in _REPEATS and at_end and _is_any(value[2]))


def _is_any(body: Sequence[Any]) -> bool:
    return [operation for operation, _ in _flatten(body)] == [sre.ANY]


def _is_character(body: Sequence[Any]) -> bool:
    """Tell whether a body always matches exactly one character."""
    flat = _flatten(body)
    return len(flat) == 1 and flat[0][0] in (sre.ANY, sre.LITERAL, sre.NOT_LITERAL, sre.IN)


def _first(part: Any, flags: int) -> frozenset[str] | None:
    """Return the characters that a part can begin with; None when it may be empty or is not simple."""
    operation, value = part
    if operation in _REPEATS:
        body = _flatten(value[2])
        return _first(body[0], flags) if body and value[0] > 0 else None
    return _characters([part], flags) if _is_character([part]) else None


def _characters(body: list[Any], flags: int) -> frozenset[str]:
    """Return the characters that a body of exactly one character matches."""
    operation, value = body[0]
    if operation is sre.ANY:
        found = _EVERY
    elif operation is sre.LITERAL:
        found = frozenset({_stand_in(value)})
    elif operation is sre.NOT_LITERAL:
        found = _EVERY - {chr(value)}
    else:
        found = _members(value)
    return frozenset(char.lower() for char in found) if flags else found


def _members(items: Sequence[Any]) -> frozenset[str]:
    """Return the characters of a set such as `[^/a-z]`."""
    found: set[str] = set()
    for operation, value in items:
        if operation is sre.LITERAL:
            found.add(_stand_in(value))
        elif operation is sre.RANGE:
            found |= {char for char in _EVERY if value[0] <= ord(char) <= value[1]}
            found |= {_OTHER} if value[1] > ord("\xff") else set()
        elif operation is sre.CATEGORY:
            found |= {char for char in _EVERY if _CATEGORIES[value](char)}
    negated = bool(items) and items[0][0] is sre.NEGATE
    return (_EVERY - found) | {_OTHER} if negated else frozenset(found)


def _stand_in(code: int) -> str:
    return chr(code) if code <= ord("\xff") else _OTHER
