"""Nothing heavy is imported that a command does not use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DATABASE = ("sqlalchemy", "sqlmodel", "alembic", "psycopg")
HEAVY = (*DATABASE, "docker", "requests", "urllib3", "yaml", "google", "aiohttp", "pydantic")
LOOP = ("asyncio", "concurrent")

PROBE = """
import sys
# Some packages put themselves into every program of their environment, used or not.
before = {name for name in sys.modules if name.split(".")[0] == "google"}
import atexit, json, os
def tell():
    with open(os.environ["PROBE_FILE"], "w") as file:
        json.dump(sorted(sys.modules.keys() - before), file)
atexit.register(tell)
sys.argv[0] = "jobrunner"
from jobrunner.cli.main import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a job, so that no command has to make the database."""
    path = tmp_path_factory.mktemp("home")
    loaded(path, "jobs", "create", "j", "--command", "true")
    return path


def loaded(home: Path, *words: str) -> set[str]:
    """The top-level modules and the rooms of ours that a command loads."""
    probe = home / "modules.json"
    run = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        env={**os.environ, "JOBRUNNER_HOME": str(home), "PROBE_FILE": str(probe)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 3), run.stderr
    names: list[str] = json.loads(probe.read_text())
    return {name.split(".")[0] for name in names} | {
        ".".join(name.split(".")[:2]) for name in names if name.startswith("jobrunner.")
    }


@pytest.mark.parametrize(
    "words", [(), ("--help",), ("--version",), ("__complete", "jobs", "create", "j", "--ma")]
)
def test_the_front_page_and_completion_import_nothing_but_text(
    home: Path, words: tuple[str, ...]
) -> None:
    found = loaded(home, *words)
    assert not found & {*HEAVY, *LOOP, "click", "sqlite3", "dataclasses", "inspect", "argparse"}
    assert {name for name in found if name.startswith("jobrunner.")} == {"jobrunner.cli"}


def test_completing_a_name_reads_the_database_and_nothing_else(home: Path) -> None:
    found = loaded(home, "__complete", "jobs", "describe", "")
    assert "sqlite3" in found
    assert not found & {*HEAVY, *LOOP, "click", "jobrunner.store", "jobrunner.core"}


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "create", "--help"),
        ("jobs", "list"),
        ("jobs", "describe", "j", "--format", "json"),
        ("executions", "list"),
        ("executions", "describe", "nope"),
        ("executions", "logs", "nope"),
        ("tasks", "list", "--execution", "nope"),
        ("db", "info"),
    ],
)
def test_a_read_loads_no_orm_no_engine_no_yaml_and_no_event_loop(
    home: Path, words: tuple[str, ...]
) -> None:
    found = loaded(home, *words)
    assert not found & {*HEAVY, *LOOP}
    assert not found & {"jobrunner.backends", "jobrunner.client", "http", "ssl"}


def test_help_of_a_command_loads_neither_service_nor_store(home: Path) -> None:
    found = loaded(home, "run", "--help")
    assert not found & {"jobrunner.service", "jobrunner.store", "jobrunner.app", "sqlite3"}


def test_a_run_of_processes_loads_no_orm_and_no_container_engine(home: Path) -> None:
    found = loaded(home, "run", "--", "true")
    assert not found & set(HEAVY)


def test_yaml_is_loaded_where_yaml_is_written(home: Path) -> None:
    assert "yaml" in loaded(home, "jobs", "list", "--format", "yaml")
