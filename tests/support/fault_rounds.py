"""What the rounds of the campaigns against servers that send have in common."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.faults import kill_marked
from tests.support.receiver import Receiver, receiving


@dataclass(kw_only=True)
class FaultReport:
    """``in_flight`` is how many deliveries the server had on the wire when it went, ``doubled`` the
    calls that the sink saw beyond those with an end on record."""

    problems: list[str] = field(default_factory=list)
    killed: bool = False
    in_flight: int = 0
    doubled: int = 0

    def expect(self, condition: object, problem: str) -> None:
        if not condition:
            self.problems.append(problem)


@contextmanager
def ground(letter: str, answer: Callable[[str, int], int]) -> Iterator[tuple[Path, Receiver]]:
    """A folder of its own for a round, and a sink that answers by ``answer``. In the end neither
    the folder nor a process of it is left."""
    folder = tempfile.mkdtemp(prefix=f"jr-{letter}-", dir="/tmp")
    try:
        with receiving() as receiver:
            receiver.answer = answer
            yield Path(folder), receiver
    finally:
        kill_marked(folder)
        shutil.rmtree(folder, ignore_errors=True)
