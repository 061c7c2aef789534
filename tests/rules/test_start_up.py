"""A command line tool starts like one: the door of the command line imports nothing heavy."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp", "alembic", "apscheduler", "asyncio", "docker", "google", "psycopg", "pydantic",
    "requests", "sqlalchemy", "sqlmodel", "triggers", "yaml",
)  # fmt: skip

PROBE = """
import sys
before = set(sys.modules)
from jobrunner.cli.main import main
try:
    {statement}
except SystemExit as end:
    assert not end.code
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(statement: str) -> list[str]:
    """What a fresh interpreter loads for the door of the command line and this statement."""
    command = [sys.executable, "-c", PROBE.format(statement=statement)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    names: list[str] = json.loads(run.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize("words", [None, "--version", "--help"])
def test_start_up_imports_nothing_heavy(words: str | None) -> None:
    statement = f"sys.argv = ['jobrunner', '{words}']; assert not main()" if words else "pass"
    heavy = {name for name in loaded_by(statement) if name.split(".")[0] in HEAVY}
    assert not heavy, f"jobrunner {words or ''} loads {sorted(heavy)}"
