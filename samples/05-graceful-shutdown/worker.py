"""One task that is cut off in the middle and goes on where it stopped.

Its work is a chain of STEPS hashes, each made from the one before: none can be left out, and the
last one tells whether all were made. On SIGTERM it saves how far it got and ends; the next attempt
starts from there.
"""

import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
STEPS = 100
SECONDS_PER_STEP = 0.025
UNFINISHED = 75


@dataclass(frozen=True)
class Progress:
    """How many steps are done, and the hash of the last one."""

    steps: int
    digest: str


def load(path: Path, index: int) -> Progress:
    try:
        return Progress(**json.loads(path.read_text()))
    except FileNotFoundError:
        return Progress(0, hashlib.sha256(f"task {index}".encode()).hexdigest())


def save(path: Path, progress: Progress) -> None:
    """All or nothing: a crash in the middle leaves the earlier checkpoint."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(progress)))
    draft.replace(path)


class Stopper:
    """Remembers that SIGTERM came, so that the loop can stop between two steps."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def main() -> None:
    stopper = Stopper()
    index = int(os.environ["CLOUD_RUN_TASK_INDEX"])
    path = HERE / "checkpoints" / f"task-{index}.json"
    progress = load(path, index)
    if progress.steps:
        print(f"going on after step {progress.steps}", flush=True)
    while progress.steps < STEPS:
        if stopper.asked:
            save(path, progress)
            print(f"asked to stop: saved step {progress.steps} of {STEPS}", flush=True)
            sys.exit(UNFINISHED)
        time.sleep(SECONDS_PER_STEP)
        digest = hashlib.sha256(progress.digest.encode()).hexdigest()
        progress = Progress(progress.steps + 1, digest)
    path.unlink(missing_ok=True)
    print(f"finished {STEPS} steps: {progress.digest[:12]}")


if __name__ == "__main__":
    main()
