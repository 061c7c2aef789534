from pathlib import Path

from tests.samples.record import endings
from tests.samples.transcript import play


def test_nightly_report_runs_as_its_readme_says(copy: Path) -> None:
    played = play(copy / "samples/06-nightly-report/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
    assert endings(played[-1].names[0]) == {0: [("FAILED", 1), ("FAILED", 1)]}
