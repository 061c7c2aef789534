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
{statement}
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(statement: str) -> list[str]:
    """The modules that a fresh interpreter loads for this statement."""
    command = [sys.executable, "-c", PROBE.format(statement=statement)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    names: list[str] = json.loads(run.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize(
    "statement",
    [
        "import jobrunner.cli.main",
        "from jobrunner.cli.main import main; main(['--version'], standalone_mode=False)",
        "from jobrunner.cli.main import main; main(['--help'], standalone_mode=False)",
    ],
)
def test_start_up_imports_nothing_heavy(statement: str) -> None:
    heavy = {name for name in loaded_by(statement) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{statement} loads {sorted(heavy)}"
