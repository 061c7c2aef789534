"""What the shell is told when somebody presses the tab key."""

import sqlite3
from pathlib import Path

import pytest

from jobrunner.cli.completing import candidates
from jobrunner.cli.completion_table import TARGET, render

ENV = {"JOBRUNNER_HOME": "/nonexistent"}


def test_the_generated_words_are_those_of_the_commands() -> None:
    stale = f"run: python -m jobrunner.cli.completion_table ({TARGET.name} is stale)"
    assert TARGET.read_text() == render(), stale


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ex"], ["executions"]),
        (["jobs", "de"], ["deploy", "describe", "delete"]),
        (["jobs", "create", "j", "--max"], ["--max-retries"]),
        (["run", "--retry-"], ["--retry-rules", "--retry-backoff", "--retry-max-backoff"]),
        (["jobs", "list", "--format", ""], ["table", "json", "yaml"]),
        (["jobs", "list", "--format=j"], ["--format=json"]),
        (["run", "--backend", "d"], ["docker"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["--pro"], ["--project"]),
        (["--project", "p", "job"], ["jobs"]),
        (["jobs", "describe", "--reg"], ["--region"]),
        (["run", "--tasks", ""], []),
        (["run", "--tasks", "3", "--", "--f"], []),
        (["nonsense", ""], []),
        (["jobs", "describe", ""], []),
    ],
)
def test_candidates_fit_what_was_typed(words: list[str], expected: list[str]) -> None:
    assert candidates(words, ENV) == expected


def test_an_empty_line_offers_every_command() -> None:
    assert candidates([""], ENV)[:2] == ["run", "jobs"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    from jobrunner.cli.main import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(tmp_path))
        for name in ("report", "repair_x", "other"):
            if name != "repair_x":
                assert main(["jobs", "create", name, "--command", "true"]) == 0
    return tmp_path


def test_names_of_jobs_come_from_the_database(home: Path) -> None:
    env = {"JOBRUNNER_HOME": str(home)}
    assert candidates(["jobs", "describe", "re"], env) == ["report"]
    assert sorted(candidates(["executions", "list", "--job", ""], env)) == ["other", "report"]
    assert candidates(["jobs", "describe", "%"], env) == []
    assert candidates(["--project", "elsewhere", "jobs", "describe", ""], env) == []
    assert candidates(["jobs", "describe", "--home", str(home), "re"], {}) == ["report"]


def test_completion_never_makes_a_database_and_never_fails_on_a_broken_one(tmp_path: Path) -> None:
    env = {"JOBRUNNER_HOME": str(tmp_path / "new")}
    assert candidates(["jobs", "describe", ""], env) == []
    assert not (tmp_path / "new").exists()
    (tmp_path / "jobrunner.db").write_bytes(b"this is no database")
    assert candidates(["jobs", "describe", ""], {"JOBRUNNER_HOME": str(tmp_path)}) == []


def test_a_locked_database_does_not_hold_the_shell_up(home: Path) -> None:
    with sqlite3.connect(home / "jobrunner.db") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        found = candidates(["jobs", "describe", "re"], {"JOBRUNNER_HOME": str(home)})
        assert found in ([], ["report"])
        connection.rollback()
    connection.close()
