"""Lints that remember old wounds, each with its reason."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "sources", "sinks", "transforms")
MAY_IMPORT = {
    "transforms": {"transforms"},
    "sources": {"sources", "transforms"},
    "sinks": {"sinks", "transforms"},
    "flows": {"flows", "sources", "sinks", "transforms"},
}
ROOMS = {
    "sources": set(),
    "sources.aws": {"sources"},
    "sources.objects": {"sources", "sources.aws"},
    "sources.queues": {"sources", "sources.aws", "sources.objects"},
    "sources.apis": {"sources", "sources.aws"},
    "sources.organization": {"sources", "sources.aws", "sources.apis"},
    "sources.listed": {"sources", "sources.aws", "sources.objects", "sources.queues", "sources.apis"},
}
"""What a room of sources/ may import beside itself: queues and APIs know nothing of each other."""
ROOM_FILES, ROOMS_AT_MOST = 15, 12
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ROWS = r"flows\.catalogue\.(?:cloudtrail|event_queues|guardduty|line_logs|logs|metrics|umbrella)"
"""Modules of single services: only the catalogue itself imports them."""
PARTITION_CALLBACKS = {"next_batch", "next_awake", "snapshot", "write_batch"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def calls(node: ast.AST) -> Iterator[tuple[str, int]]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            yield ast.unparse(call.func), call.lineno


def functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_one_way(path):
    """Transforms ← sources, sinks ← flows: a module that imports against the arrow makes a knot."""
    package = path.relative_to(ROOT).parts[0]
    ours = {module.split(".")[0] for module in imports(tree(path))} & set(PACKAGES)
    assert ours <= MAY_IMPORT[package]


def room(module: str) -> str:
    top, _, rest = module.partition(".")
    return f"{top}.{rest.split('.')[0]}" if f"{top}.{rest.split('.')[0]}" in ROOMS else top


@pytest.mark.parametrize("path", sorted((ROOT / "sources").rglob("*.py")), ids=name)
def test_rooms_import_one_way(path):
    """A room of sources/ imports only what it may: a knot between rooms makes them one room again."""
    own = room(name(path).removesuffix(".py").replace("/", "."))
    found = {room(module) for module in imports(tree(path)) if module.split(".")[0] == "sources"}
    assert found <= ROOMS[own] | {own}


@pytest.mark.skipif(not (ROOT / "sources").is_dir(), reason="the packages are not beside this suite")
def test_rooms_are_few_and_small():
    """A stranger looks through twelve names at most, and through fifteen files of a room."""
    rooms = [path for path in (ROOT / "sources").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert {f"sources.{path.name}" for path in rooms} == set(ROOMS) - {"sources"}
    assert len(rooms) <= ROOMS_AT_MOST
    folders = [path for path in (ROOT / "sources").rglob("*") if path.is_dir()]
    assert all(len(list(path.glob("*.py"))) <= ROOM_FILES for path in [ROOT / "sources", *folders])


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_demo_is_not_part_of_the_collector(path):
    """What only the demo needs is never imported at the top of a module of the collector."""
    if "demo" in path.relative_to(ROOT).parts:
        return
    top = ast.Module([node for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    demo = ("ministack", "trustme", "moto", "flows.demo")
    assert not [module for module in imports(top) if module.startswith(demo)]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_clients_are_made_in_one_place(path):
    """A boto3 client outside sources/aws/account.py would miss role hops, renewal and retry policy."""
    if path == ROOT / "sources/aws/account.py" or "demo" in path.relative_to(ROOT).parts:
        return
    assert not [module for module in imports(tree(path)) if module.split(".")[0] == "boto3"]


BY_STRING = {
    "sources/aws/botocore_internals.py",  # what may go with any release
    "sources/organization/identity.py",  # a boto3 client, signed as somebody
    "sources/aws/replies.py",  # boto3 makes its methods when a client is made
    "transforms/arrow.py",  # a module's own __getattr__
    "flows/journal/reader.py",  # columns of a table
    "flows/journal/compaction.py",
    "flows/config/file_formats.py",  # keys of a processor's settings
    "flows/commands/reference.py",  # reads annotations
}
"""Modules that reach attributes by a name which is data."""


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_attributes_are_reached_by_name(path):
    """What a string names is found by no reader, and by no type checker."""
    if str(path.relative_to(ROOT)) not in BY_STRING:
        assert not [found for found in calls(tree(path)) if found[0] in {"getattr", "setattr", "hasattr"}]


NO_FIELDS = {
    "CollectedIds": "its lock guards files",
    "StrictRules": "read when the demo is over; the lock keeps counting whole",
}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_class_with_a_lock_says_what_it_guards(path):
    """The suite enforces the tables (transforms/locks.py); a lock without one would be a guess."""
    locks = ("threading.Lock", "threading.RLock", "threading.Condition")
    for found in ast.walk(tree(path)):
        if isinstance(found, ast.ClassDef) and found.name not in NO_FIELDS:
            makes = any(called in locks for called, _ in calls(found))
            told = any(ast.unparse(one).startswith("guarded(") for one in found.decorator_list)
            assert told or not makes, found.name


PUBLIC_IN_SPITE_OF_IT = {"_asdict", "_fields", "_make", "_replace", "_exit"}
"""Of namedtuple and os: the underline is no secret there."""


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_private_attributes_of_libraries_stand_in_one_place(path):
    """What botocore does not promise may go with any release: one module knows it, and its test tells."""
    if path == ROOT / "sources/aws/botocore_internals.py":
        return
    private = re.compile("_(?!_)")
    ours = {f.name for f in functions(tree(path))}
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and private.match(node.attr)
        and node.attr not in PUBLIC_IN_SPITE_OF_IT | ours
        and ast.unparse(node.value) not in {"self", "cls"}
    ]
    found += [
        f"line {node.lineno}: {alias.name}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("boto", "urllib3"))
        for alias in node.names
        if private.match(alias.name)
    ]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_partitions_never_sleep(path):
    """One partition that waits holds back every epoch of every service."""
    for function in functions(tree(path)):
        if function.name in PARTITION_CALLBACKS:
            assert not [where for called, where in calls(function) if called.endswith("sleep")]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_naive_time_no_print_no_hash_routing(path):
    """Naive datetimes shift cursors, print pollutes stdout output, hash() differs from process to process."""
    banned = {"datetime.now()", "datetime.utcnow", "datetime.utcfromtimestamp", "print", "hash"}
    found = [
        (called, line)
        for called, line in calls(tree(path))
        if called in banned
        or (called.endswith("datetime.now") and f"{called}()" in path.read_text().splitlines()[line - 1])
    ]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_inflating_happens_in_decode_only(path):
    """An unbounded gunzip turned 70 MB into 7 GB elsewhere."""
    decoders = (ROOT / "sources/objects/decode.py", ROOT / "sources/objects/inflate.py")
    if path in decoders or "demo" in path.relative_to(ROOT).parts:
        return
    assert not [
        called
        for called, _ in calls(tree(path))
        if re.search(r"\b(gzip|zlib|isal\w*|igzip\w*)\.(decompress|open)$", called)
    ]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_swallowed(path):
    """A bare `except Exception: pass` turns an error into silence and the data into nothing."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
            only_pass = all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
            assert not (broad and only_pass), f"line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_sizes_stay_readable(path):
    """A file is one role, a function is one thing: over 400 and 60 lines they are not."""
    assert len(path.read_text().splitlines()) <= 400
    assert not [f.name for f in functions(tree(path)) if (f.end_lineno or 0) - f.lineno > 60]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_events_are_told_through_telemetry(path):
    """Log line and metric are written together by named events; a stray logger would tell half of it."""
    if path.stem == "telemetry" or path.name == "runtime.py":
        return
    assert "logging.getLogger" not in path.read_text()


@cache
def service_words() -> re.Pattern[str]:
    """Return what names a service: its name, its key, or an action of the API that it alone asks."""
    from flows.catalogue.services import CATALOGUE, every  # noqa: PLC0415 - the rules read source, mostly

    named = {word for one in every().values() for word in (one.name, one.service_key) if word}
    asked = {f"{action.partition(':')[0]}:" for one in CATALOGUE if one.probes for action in one.actions}
    names, actions = (
        "|".join(map(re.escape, sorted(words, key=len, reverse=True))) for words in (named, asked)
    )
    return re.compile(rf"(?<![\w-])(?:(?:{names})(?![\w-])|(?:{actions})(?=[A-Z]))")


def texts(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the texts of a module that are no docstrings."""
    told = {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value, node.lineno


SERVICES_OWN = ("flows/catalogue/", "flows/demo/", "sources/apis/", "transforms/")
"""Where services are named: the catalogue, each one's own modules, and the demo, which plays AWS."""


@pytest.mark.parametrize(
    "path", [path for path in MODULES if not name(path).startswith(SERVICES_OWN)], ids=name
)
def test_nobody_names_a_service(path):
    """A service is one value of the catalogue: who names one elsewhere makes it two."""
    rows = [module for module in imports(tree(path)) if re.fullmatch(ROWS, module)]
    assert not rows
    assert not [found for found in texts(tree(path)) if service_words().search(found[0])]


def test_no_class_name_stands_twice():
    """A name that two classes share must be looked up each time it is read."""
    found: dict[str, list[str]] = {}
    for path in MODULES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name(path))
    assert not {shared: where for shared, where in found.items() if len(where) > 1}


def test_every_module_says_what_it_is():
    """A reader learns each module's role from its first line."""
    assert not [name(path) for path in MODULES if not ast.get_docstring(tree(path))]


def test_every_test_says_its_behaviour():
    """A test's docstring is one sentence of behaviour."""
    silent = [
        f"{name(path)}::{function.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for function in functions(tree(path))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert not silent


def test_constraints_hold_no_address():
    """Pinned versions are names and numbers: an address in them breaks the next machine."""
    assert not re.search(r"://|@ |--(extra-)?index", (ROOT / "constraints.txt").read_text())


FOLDERS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))


@pytest.mark.parametrize("path", FOLDERS, ids=name)
def test_a_folder_names_no_file_that_is_gone(path):
    """A newcomer reads the folder's docstring first, and looks for the files that it names."""
    named = re.findall(r"(\w+\.py)\b", ast.get_docstring(tree(path)) or "")
    assert not [one for one in named if not list(path.parent.rglob(one))]


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])


def test_readme_is_read_to_its_end():
    """What a newcomer does not need at first stands in docs/: README has fewer than 150 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path):
    """A link from one document to another is followed by nobody but a newcomer, who finds it broken."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)", path.read_text())
    assert not [link for link in links if link and not (path.parent / link).exists()]


def test_the_index_of_decisions_leads_to_entries():
    """A reader finds a decision by what it is about: each number of the table at the top is one entry's."""
    head, first, rest = (ROOT / "DECISIONS.md").read_text().partition("## 1. ")
    entries = re.findall(r"^## (\d+)\.", first + rest, re.MULTILINE)
    named = re.findall(r"(?:\| |· )(\d+)\b", head)
    assert len(entries) == len(set(entries))
    assert len(named) == len(set(named))
    assert set(named) <= set(entries)


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_a_workflow_runs_what_runs_here(path):
    """Each step that is ours is a target of the Makefile, and a job has no right that it does not name."""
    found = yaml.safe_load(path.read_text())
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert found["permissions"] == {"contents": "read"}
    for used in re.findall(r"uses: (.+)", path.read_text()):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), f"{used}: pin it by its commit"
    for job in found["jobs"].values():
        ran = " ".join(step.get("run", "") for step in job["steps"])
        assert set(re.findall(r"\bmake ([a-z-]+)", ran)) <= targets
        assert job["timeout-minutes"] <= 60
