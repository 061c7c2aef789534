"""A PostgreSQL database belongs to one home: one of two cannot see what the other runs."""

import subprocess
from pathlib import Path

import pytest

from jobrunner.app import App
from jobrunner.errors import Refused
from jobrunner.settings import Settings
from tests.support.commands import PROGRAM


def settings(home: Path, url: str) -> Settings:
    return Settings(home=str(home), database_url=url, user="me")


@pytest.fixture
def url(fresh_postgres_url: str, tmp_path: Path) -> str:
    App.open(settings(tmp_path / "first", fresh_postgres_url)).store.close()
    return fresh_postgres_url


def test_the_same_home_opens_its_database_again_wherever_it_was_moved(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "first").rename(tmp_path / "moved")
    App.open(settings(tmp_path / "moved", url)).store.close()


def test_another_home_is_refused_and_told_whose_it_is(url: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        App.open(settings(tmp_path / "second", url))
    assert f"belongs to the home {tmp_path / 'first'} on " in refused.value.message
    assert "jobrunner db adopt" in str(refused.value.hint)


def test_a_home_can_adopt_the_database_of_one_that_is_gone(url: str, tmp_path: Path) -> None:
    adopted = subprocess.run(
        [*PROGRAM, "--home", str(tmp_path / "second"), "db", "adopt", "--quiet"],
        env={"JOBRUNNER_DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert adopted.returncode == 0, adopted.stderr
    App.open(settings(tmp_path / "second", url)).store.close()
    with pytest.raises(Refused):
        App.open(settings(tmp_path / "first", url))
