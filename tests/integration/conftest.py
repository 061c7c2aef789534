"""A home with plain processes in it, and nothing left of them after the test."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.supervisors import Processes


@pytest.fixture
def processes(home: Path) -> Iterator[Processes]:
    stage = Processes(home)
    yield stage
    asyncio.run(stage.clear())
