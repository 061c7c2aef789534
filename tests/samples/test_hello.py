from pathlib import Path

from tests.samples.record import describe, endings
from tests.samples.transcript import play

README = "samples/01-hello/README.md"


def test_hello_runs_as_its_readme_says(copy: Path) -> None:
    played = play(copy / README, copy)
    assert [part.exit_code for part in played] == [0] * len(played)
    ad_hoc, stored, overridden = played[-1].names
    assert endings(ad_hoc) == {index: [("SUCCEEDED", 0)] for index in range(10)}
    assert endings(stored) == {index: [("SUCCEEDED", 0)] for index in range(10)}
    assert endings(overridden) == {index: [("SUCCEEDED", 0)] for index in range(2)}
    assert describe(stored)["parallelism"] == 4
