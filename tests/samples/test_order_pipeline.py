from pathlib import Path

from tests.samples.record import endings
from tests.samples.transcript import play
from tests.support.components import require


def test_order_pipeline_runs_as_its_readme_says(copy: Path) -> None:
    require("pubsub")
    played = play(copy / "samples/09-order-pipeline/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
    [name] = played[-1].names
    assert endings(name) == {index: [("SUCCEEDED", 0)] for index in range(3)}
