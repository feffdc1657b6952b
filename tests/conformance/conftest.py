"""What the conformance suite plays on: both embedded AWS, rows at work in them, and the list of waivers."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from tests.conformance.rig import Rig, Scenario, impatient, nobody, play, rig_of
from tests.conformance.rows import Place, Row
from tests.conformance.waivers import told
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.ministack import Ministack


@pytest.fixture(scope="session")
def apis() -> Iterator[str]:
    """Return the URL of the served APIs."""
    with FakeAws() as running:
        yield running.url


@pytest.fixture(scope="module")
def rigs(request, aws: Ministack, apis: str, tmp_path_factory) -> Callable[..., AbstractContextManager]:
    """Return a context of what the selected rows play on.

    queues: another AWS for queues. wrap: row's name → what its sources are put in. more: see `rig_of`.
    """
    folder = partial(tmp_path_factory.mktemp, "row")

    @contextmanager
    def opened(
        queues: Ministack = aws, wrap: Callable[[str], Callable] | None = None, **more: Any
    ) -> Iterator[list[Rig]]:
        with ExitStack() as stack:
            stack.enter_context(impatient())
            stack.enter_context(nobody(folder()))
            rigs = []
            for row in selected(request):
                own = {**more, "wrap": wrap(row.name)} if wrap else more
                rigs.append(stack.enter_context(rig_of(row, new_place(queues, apis), folder(), **own)))
            yield rigs

    return opened


def new_place(aws: Ministack, apis: str) -> Place:
    """Return a place with names and an account that nobody else uses, at the present moment."""
    mark = f"{random.SystemRandom().randrange(10**12):012}"
    return Place(aws, apis, mark, lambda name: f"{name}-{mark}", int(time.time()))


@pytest.fixture(scope="module")
def played(rigs) -> Callable[[Scenario, Row], None]:
    """Return a function that raises what a row met in a scenario; all selected rows play at once, once."""
    outcomes: dict[Scenario, dict[str, Exception | None]] = {}

    def outcome(scenario: Scenario, row: Row) -> None:
        if scenario not in outcomes:
            with rigs() as all_of_them:
                outcomes[scenario] = play(scenario, all_of_them)
        failure = outcomes[scenario][row.name]
        if failure is not None:
            raise failure

    return outcome


def selected(request) -> list[Row]:
    """Return the rows of the tests that are to run of a module."""
    items = (item for item in request.session.items if item.path == request.path)
    params = (item.callspec.params.get("row") for item in items if hasattr(item, "callspec"))
    return list({row.name: row for row in params if row}.values())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what is waived."""
    lines = told()
    terminalreporter.write_line(f"conformance: {len(lines) or 'no'} waivers")
    for line in lines:
        terminalreporter.write_line(f"    {line}")
