"""``jobrunner deliveries`` and ``events tail`` as people read them."""

import json
from pathlib import Path

import pytest

from jobrunner.cli.main import main
from triggers.cli import events


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path))


def test_a_service_that_goes_by_its_name_is_shown_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--event-filters", "type=a.b", "--destination-run-service", "orders")
    assert main(["triggers", "create", "made", *flags, "--destination-run-path", "/new"]) == 0
    assert main(["events", "send", "--type", "a.b", "--data", "{}"]) == 0
    capsys.readouterr()
    assert main(["deliveries", "list"]) == 0
    table = capsys.readouterr().out
    assert "service orders (us-central1)" in table
    assert ".invalid" not in table
    assert main(["deliveries", "list", "--format", "json"]) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert main(["deliveries", "describe", one["uid"]]) == 0
    text = capsys.readouterr().out
    assert "POST service orders (us-central1), /new" in text
    assert ".invalid" not in text


def test_who_follows_events_without_a_server_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(events.time, "sleep", interrupted)
    assert main(["events", "tail"]) == 130
    assert "No server runs here" in capsys.readouterr().err
    assert main(["events", "tail", "--no-follow"]) == 0
    assert capsys.readouterr().err == ""
