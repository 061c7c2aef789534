"""``jobrunner clock advance`` with what is no way forward."""

import pytest

from jobrunner.cli.main import main


@pytest.mark.parametrize("by", ["-1d", "-90s", "-0.5h"])
def test_a_clock_is_not_moved_back(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clock", "advance", by]) == 2
    assert f"DURATION '{by}' must not be negative" in capsys.readouterr().err
