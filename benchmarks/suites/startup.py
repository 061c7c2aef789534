"""A command line tool starts like one: against the bare interpreter, and against gcloud."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from harness.context import Context
from harness.measure import Failed, Sample, watch
from harness.pairs import Pair, run_pairs
from harness.place import jobrunner
from harness.product import TRUE, Homes, environment
from harness.report import Report, pair_rows

TIMES = 5
"""How often a command is started for one figure: the fastest counts."""

LIGHT = {
    "--help": ("--help",),
    "--version": ("--version",),
    "completion": ("__complete", "executions", "li"),
}
BARE, GCLOUD = "python -c pass", "gcloud --version"


def run(context: Context) -> Report:
    with Homes() as homes:
        home = homes.fresh()
        python = partial(start, home, [sys.executable, "-c", "pass"])
        product = {
            words: partial(start, home, [jobrunner(), *words])
            for words in (*LIGHT.values(), ("executions", "list"), ("run", "--", *TRUE))
        }
        pairs = [
            Pair(f"jobrunner {name}", BARE, product[words], python, at_most=3.5)
            for name, words in LIGHT.items()
        ]
        gcloud = partial(start, home, ["gcloud", "--version"])
        read, ran = product["executions", "list"], product["run", "--", *TRUE]
        if shutil.which("gcloud"):
            pairs += [
                Pair("jobrunner executions list", GCLOUD, read, gcloud, at_most=0.8),
                Pair("jobrunner run -- true", GCLOUD, ran, gcloud, at_most=1.0),
            ]
        else:
            pairs += [
                Pair("jobrunner executions list (no gcloud here)", BARE, read, python),
                Pair("jobrunner run -- true (no gcloud here)", BARE, ran, python),
            ]
        results = run_pairs(pairs, context.rounds, tell=context.tell)
    return Report(
        "startup",
        "how long a command takes that has little to do",
        pair_rows(results),
        commands=["jobrunner --help", "jobrunner executions list", "jobrunner run -- true"],
        notes=[f"One figure is the fastest of {TIMES} starts, byte code cached."],
    )


def start(home: Path, command: list[str]) -> Sample:
    """The fastest of some starts; ``tasks`` is 1."""
    if shutil.which(command[0]) is None:
        raise Failed(f"{command[0]} is not installed")
    samples = [
        watch(command, scratch=home, env=environment(home)).sample(None, 1) for _ in range(TIMES)
    ]
    return min(samples, key=lambda sample: sample.wall)
