"""Fixtures for pytest, found by its entry point. Imports nothing until one of them is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobrunner.testing import Runner

MARKER = "jobrunner(**options): what jobrunner.testing.start is to be told for this test"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def jobrunner_start() -> Iterator[Callable[..., Runner]]:
    """Starts runners, with the options of :func:`jobrunner.testing.start`, until the test ends."""
    from contextlib import ExitStack

    from jobrunner.testing import start

    with ExitStack() as stack:

        def started(**options: Any) -> Runner:
            return stack.enter_context(start(**options))

        yield started


@pytest.fixture
def jobrunner_runner(
    request: pytest.FixtureRequest, jobrunner_start: Callable[..., Runner]
) -> Runner:
    """One runner, with what the marker ``jobrunner`` says."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("jobrunner"))):
        options |= marker.kwargs
    return jobrunner_start(**options)
