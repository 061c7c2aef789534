"""A home with plain processes in it, and nothing left of them after the test."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import serving
from tests.support.supervisors import Processes


@pytest.fixture
def processes(home: Path) -> Iterator[Processes]:
    stage = Processes(home)
    yield stage
    asyncio.run(stage.clear())


@pytest.fixture(params=["alone", "server"])
def way(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    """The same test twice: the command line by itself, and through the server of its home."""
    if request.param == "alone":
        yield "alone"
        return
    with serving():
        yield "server"
