"""`python -m tests.house [FOLDER …]`: the product in figures, of this checkout and of others beside it.

any          how often `Any` stands in annotations: what mypy does not see through
files        lines of a file, median and 90 of 100; functions likewise
rooms        folders with code: files, lines
named by     files beside its own that name a service: what a new one would have to touch
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

PACKAGES = ("flows", "sources", "sinks", "transforms")
SERVICE = ("aws-guardduty", "guardduty:", "GuardDuty")
"""How one service is named: the sample for all."""
OWN = ("sources/apis/guardduty.py", "flows/demo")


def modules(root: Path) -> list[Path]:
    """Return the product's modules."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of each function's body and signature."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def anys(tree: ast.AST) -> int:
    """Return how often `Any` is used, its imports aside."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def names_it(tree: ast.AST) -> bool:
    """Tell whether a module names the sample service outside its docstrings and comments."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    ]
    texts += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return any(word in text for text in texts for word in SERVICE)


def spread(values: Sequence[int]) -> str:
    """Return median and 90 of 100."""
    return f"{median(values):g} / {quantiles(values, n=10)[-1]:g}"


def figures(root: Path) -> Iterator[tuple[str, str]]:
    """Yield what is measured and its figure."""
    paths = modules(root)
    trees = {path: ast.parse(path.read_text()) for path in paths}
    lines = {path: len(path.read_text().splitlines()) for path in paths}
    rooms: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path in paths:
        room = str(path.parent.relative_to(root))
        rooms[room] += 1
        sizes[room] += lines[path]
    used = sum(map(anys, trees.values()))
    yield "any", f"{used}, one in {sum(lines.values()) // max(used, 1)} lines"
    yield "files", f"{len(paths)} of {spread([*lines.values()])} lines"
    found = [size for tree in trees.values() for size in functions(tree)]
    yield "functions", f"{len(found)} of {spread(found)} lines"
    naming = [str(path.relative_to(root)) for path in paths if names_it(trees[path])]
    naming = [name for name in naming if not name.startswith(OWN)]
    yield "named by", f"{len(naming)}: {', '.join(naming)}"
    for room, count in sorted(rooms.items()):
        yield f"room {room}", f"{count} files, {sizes[room]} lines"


def main(folders: Sequence[str]) -> None:
    """Print the figures of each checkout, this one first."""
    for root in (Path(__file__).parents[1], *map(Path, folders)):
        sys.stdout.write(f"{root}\n")
        for name, figure in figures(root):
            sys.stdout.write(f"  {name:24} {figure}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
