import hashlib
from pathlib import Path

from tests.samples.record import describe
from tests.samples.transcript import play

FOLDER = "samples/05-graceful-shutdown"
STEPS = 100


def uninterrupted(index: int) -> str:
    digest = hashlib.sha256(f"task {index}".encode()).hexdigest()
    for _ in range(STEPS):
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return digest


def test_graceful_shutdown_runs_as_its_readme_says(copy: Path) -> None:
    played = play(copy / FOLDER / "README.md", copy)
    output = "\n".join(played[0].output)
    assert played[0].exit_code == 0
    for task in describe(played[0].names[0])["tasks"]:
        *cut_off, last = task["attempts"]
        assert cut_off, "the time must not be enough for one attempt"
        for attempt in cut_off:
            assert (attempt["state"], attempt["timedOut"]) == ("TIMED_OUT", True)
            assert attempt["exitCode"] == 75, "it saved its work and ended by itself"
        assert (last["state"], last["exitCode"]) == ("SUCCEEDED", 0)
        assert f"finished {STEPS} steps: {uninterrupted(task['index'])[:12]}" in output
    assert list((copy / FOLDER / "checkpoints").iterdir()) == []
