"""Machines that keep no database of time zones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobrunner.cli.checks import zones_check

ASK = (
    "from jobrunner.cli.main import main; import sys;"
    "sys.exit(main(['schedules', 'next', '--schedule', '0 9 * * *', '--time-zone', 'Asia/Tokyo',"
    " '--from', '2026-01-01T00:00:00Z', '--count', '1']))"
)


def asked(code: str, directories: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONTZPATH": str(directories)}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_zones_are_known_where_the_machine_has_none(tmp_path: Path) -> None:
    assert asked(ASK, tmp_path).stdout == "2026-01-02T09:00:00+09:00\n"


def test_without_any_database_it_is_the_machine_that_is_blamed(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['tzdata'] = None\n" + ASK
    said = asked(hidden, tmp_path)
    assert said.returncode == 2
    assert "this machine knows no time zones; install tzdata, or use UTC" in said.stderr


def test_doctor_says_whose_zones_they_are(tmp_path: Path) -> None:
    assert "tzdata" in zones_check([str(tmp_path)]).seen
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "London").touch()
    found = zones_check([str(tmp_path)])
    assert (found.status, found.seen) == ("ok", str(tmp_path))


def test_doctor_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert zones_check([str(tmp_path)]).status == "missing"
