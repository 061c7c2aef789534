"""Every ending is a sentence and an exit code; a bug of ours is a file, never a traceback."""

import click
import pytest

from jobrunner.cli import guard
from jobrunner.cli.root import root
from jobrunner.errors import InvalidSpec, NotFound, Refused, RunFailed, RunnerFault, Violation


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Put an exception in, and every command raises it."""
    what: list[BaseException] = []

    def run(*args: object, **kwargs: object) -> None:
        raise what[0]

    monkeypatch.setattr(root, "main", run)
    return what


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (NotFound("There is no job."), 3, "Error: There is no job.\n"),
        (Refused("No.", hint="Later."), 4, "Error: No.\nHint: Later.\n"),
        (RunFailed("It failed."), 1, "Error: It failed.\n"),
        (RunnerFault("The engine is gone."), 5, "Error: The engine is gone.\n"),
        (InvalidSpec([Violation("a", "b")]), 2, "Error: a: b\n"),
        (
            InvalidSpec([Violation("a", "b"), Violation("", "c")]),
            2,
            "Error: 2 fields are not valid:\n  a: b\n  c\n",
        ),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.Abort(), 130, "Interrupted.\n"),
        (BrokenPipeError(32, "Broken pipe"), 0, ""),
        (PermissionError(13, "Permission denied", "/x"), 5, "Error: Permission denied: /x\n"),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    raising: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    text: str,
) -> None:
    monkeypatch.setattr(guard, "silence", lambda stream: None)
    raising.append(error)
    assert guard.guarded(["jobs", "list"]) == code
    assert capsys.readouterr().err == text


def test_a_bug_is_one_sentence_and_a_private_file_without_values_of_options(
    raising: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("JOBRUNNER_HOME", str(home))
    raising.append(ZeroDivisionError("boom"))
    assert guard.guarded(["jobs", "create", "--set-env-vars", "TOKEN=hunter2"]) == 5
    (crash,) = (home / "crash").iterdir()
    err = capsys.readouterr().err
    assert err == (
        f"Error: jobrunner failed unexpectedly (ZeroDivisionError). The details are in {crash}.\n"
    )
    text = crash.read_text()
    assert "ZeroDivisionError: boom" in text
    assert "command: jobrunner jobs create" in text
    assert "hunter2" not in text
    assert crash.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("option", [("--home", "HOME"), ("--home=HOME",)])
def test_a_bug_is_written_where_the_state_lives(
    raising: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
    option: tuple[str, ...],
) -> None:
    home = tmp_path_factory.mktemp("home")
    raising.append(ZeroDivisionError("boom"))
    words = [word.replace("HOME", str(home)) for word in option]
    assert guard.guarded(["jobs", "list", *words]) == 5
    assert str(home / "crash") in capsys.readouterr().err
    assert guard.home_in(["run", "--", "x", *words]) == {}


def test_a_bug_is_told_even_where_nothing_can_be_written(
    raising: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", "/dev/null/nowhere")
    raising.append(ZeroDivisionError())
    assert guard.guarded(["jobs", "list"]) == 5
    expected = "Error: jobrunner failed unexpectedly (ZeroDivisionError).\n"
    assert capsys.readouterr().err == expected
