from pathlib import Path

from tests.samples.transcript import play


def test_functions_get_messages_and_events_as_the_readme_says(copy: Path) -> None:
    played = play(copy / "samples/07-functions/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
