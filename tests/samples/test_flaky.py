from pathlib import Path

from tests.samples.record import describe, endings
from tests.samples.transcript import play

FAILED, WON = ("FAILED", 75), ("SUCCEEDED", 0)


def test_flaky_runs_as_its_readme_says(copy: Path) -> None:
    played = play(copy / "samples/03-flaky/README.md", copy)
    with_retries, without = played[-1].names
    attempts = endings(with_retries)
    assert all(tries == [FAILED] * (len(tries) - 1) + [WON] for tries in attempts.values())
    assert {index: len(tries) for index, tries in attempts.items()} == {
        0: 3, 1: 2, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 3,
    }  # fmt: skip
    assert describe(with_retries)["counters"]["retried"] == 6
    assert {index: tries for index, tries in endings(without).items() if tries != [WON]} == {
        index: [FAILED] for index in (0, 1)
    }
