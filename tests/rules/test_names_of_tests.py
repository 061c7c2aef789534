"""Several processes share the tests between them by name: each must find the same names."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLLECT = ["-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]


def names(seed: str, *more: str) -> list[str]:
    """What another interpreter collects, with this seed for the order of its sets."""
    run = subprocess.run(
        [sys.executable, *COLLECT, *more],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return [line for line in run.stdout.splitlines() if "::" in line]


def test_tests_have_the_same_names_whatever_the_hour_and_the_seed_of_hashes() -> None:
    first = names("1")
    second = names("2", "-p", "tests.support.another_hour")
    assert len(first) > 1000
    assert first == second
