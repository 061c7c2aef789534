"""Two things measured in the same round, again and again, and the bound on their ratio.

The machine is not alone: what is compared is the ratio within a round, never figures of different
rounds. The order of the pairs, and within a pair, is shuffled anew in each round.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from harness.measure import Sample

Measure = Callable[[], Sample]
Seconds = Callable[[Sample], float]


def compared(sample: Sample) -> float:
    return sample.seconds


def whole(sample: Sample) -> float:
    return sample.wall


@dataclass(frozen=True, slots=True)
class Pair:
    """``ratio`` = what ``what`` takes over what ``base`` takes, per task. ``at_most`` and
    ``at_least`` are its bounds; ``goal`` is only reported. ``seconds`` picks the figure."""

    what: str
    base_name: str
    run: Measure
    base: Measure
    at_most: float | None = None
    at_least: float | None = None
    goal: float | None = None
    seconds: Seconds = compared


@dataclass(slots=True)
class Result:
    pair: Pair
    samples: list[Sample] = field(default_factory=list)
    bases: list[Sample] = field(default_factory=list)
    error: str = ""

    @property
    def ratios(self) -> list[float]:
        figure = self.pair.seconds
        return [
            (figure(sample) / sample.tasks) / (figure(base) / base.tasks)
            for sample, base in zip(self.samples, self.bases, strict=True)
        ]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def best(self) -> float:
        """The fastest run over the fastest run of the base: what noise cannot flatter."""
        figure = self.pair.seconds
        return min(figure(s) / s.tasks for s in self.samples) / min(
            figure(b) / b.tasks for b in self.bases
        )

    @property
    def passed(self) -> bool | None:
        """None where there is no bound."""
        if self.error or not self.samples:
            return False
        if self.pair.at_most is not None:
            return self.ratio <= self.pair.at_most
        if self.pair.at_least is not None:
            return self.ratio >= self.pair.at_least
        return None


def run_pairs(
    pairs: Sequence[Pair], rounds: int, *, seed: int = 0, tell: Callable[[str], None]
) -> list[Result]:
    """Measures every pair in every round, after one uncounted round of each. A pair that fails is
    given up and says why."""
    results = [Result(pair) for pair in pairs]
    for number in range(rounds + 1):
        shuffled = random.Random(f"{seed}/{number}")
        order = list(results)
        shuffled.shuffle(order)
        for result in order:
            if result.error:
                continue
            try:
                sample, base = in_some_order(result.pair, shuffled)
            except Exception as error:
                result.error = f"{type(error).__name__}: {error}"
                tell(f"{result.pair.what}: {result.error}")
                continue
            if number:
                result.samples.append(sample)
                result.bases.append(base)
                tell(f"round {number}/{rounds}: {result.pair.what}: {result.ratios[-1]:.2f}x")
    return results


def in_some_order(pair: Pair, shuffled: random.Random) -> tuple[Sample, Sample]:
    if shuffled.random() < 0.5:
        sample = pair.run()
        return sample, pair.base()
    base = pair.base()
    return pair.run(), base


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)
