from pathlib import Path

from tests.samples.transcript import play


def test_failure_notices_reach_chat_and_mail_as_the_readme_says(copy: Path) -> None:
    played = play(copy / "samples/10-failure-notices/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
