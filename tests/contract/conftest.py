"""The stores that every promise is tested on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobrunner.lib.database import Database, connect
from jobrunner.ports import Store
from jobrunner.store import open_store
from triggers.store import open_deliveries


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgres_url"))
    return "sqlite:///:memory:" if "memory" in request.param else f"sqlite:///{tmp_path}/state.db"


@pytest.fixture(params=["sqlite-file", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that several processes can open."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgres_url"))
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """With the tables of deliveries and what leads to them."""
    opened = connect(url)
    open_deliveries(opened)
    yield opened
    opened.close()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def open_another(shared_url: str) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def another() -> Store:
        opened.append(open_store(shared_url))
        return opened[-1]

    yield another
    for one in opened:
        one.close()
