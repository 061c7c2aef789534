from pathlib import Path

from tests.samples.record import endings
from tests.samples.transcript import play


def test_thumbnail_runs_as_its_readme_says(copy: Path) -> None:
    played = play(copy / "samples/08-thumbnail/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
    [name] = played[-1].names
    assert endings(name) == {0: [("SUCCEEDED", 0)]}
