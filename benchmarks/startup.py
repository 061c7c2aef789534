"""How long commands take to start, as ratios to ``python -c pass`` and ``gcloud --version``.

Every command runs once for warm-up and then N times, in turns, so that a noisy moment meets all of
them. Run it with the python that jobrunner is installed for; exit code 1 if a bound is broken.

    python benchmarks/startup.py [-n 15]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBRUNNER = str(Path(sys.executable).with_name("jobrunner"))
PASS = "python -c pass"
GCLOUD = "gcloud --version"

# Name, words, the yardstick and the bound.
COMMANDS: list[tuple[str, list[str], str, float]] = [
    (PASS, [sys.executable, "-c", "pass"], "", 0),
    (GCLOUD, ["gcloud", "--version"], "", 0),
    ("import click", [sys.executable, "-c", "import click"], "", 0),
    ("--version", [JOBRUNNER, "--version"], PASS, 3.5),
    ("--help", [JOBRUNNER, "--help"], PASS, 3.5),
    ("completion: option", [JOBRUNNER, "__complete", "run", "--ta"], PASS, 3.5),
    ("completion: job", [JOBRUNNER, "__complete", "jobs", "describe", ""], PASS, 3.5),
    ("run --help", [JOBRUNNER, "run", "--help"], GCLOUD, 0.8),
    ("jobs list", [JOBRUNNER, "jobs", "list"], GCLOUD, 0.8),
    ("jobs describe", [JOBRUNNER, "jobs", "describe", "j"], GCLOUD, 0.8),
    ("executions list", [JOBRUNNER, "executions", "list"], GCLOUD, 0.8),
    ("run -- true", [JOBRUNNER, "run", "--", "true"], GCLOUD, 1.0),
]


def measured(commands: list[tuple[str, list[str], str, float]], rounds: int) -> dict[str, float]:
    """Median seconds by name."""
    times: dict[str, list[float]] = {name: [] for name, *_ in commands}
    for number in range(rounds + 1):
        for name, words, *_ in commands:
            began = time.perf_counter()
            subprocess.run(
                words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if number:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=15, help="rounds (at least 10 mean something)")
    rounds = parser.parse_args().n
    commands = [row for row in COMMANDS if shutil.which(row[1][0])]
    home = tempfile.mkdtemp(prefix="jr-", dir="/tmp")
    os.environ["JOBRUNNER_HOME"] = home
    # What is installed has its bytecode; a checkout gets it by the warm-up round.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        subprocess.run(
            [JOBRUNNER, "jobs", "create", "j", "--command", "true"], check=True, capture_output=True
        )
        medians = measured(commands, rounds)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    broken = 0
    print(f"| command | median ms ({rounds} rounds) | x {PASS} | x {GCLOUD} | bound |")
    print("|---|--:|--:|--:|---|")
    for name, _, yardstick, bound in commands:
        median = medians[name]
        gcloud = f"{median / medians[GCLOUD]:.2f}" if GCLOUD in medians else ""
        said = ""
        if yardstick in medians:
            ratio = median / medians[yardstick]
            fits = ratio <= bound
            broken += not fits
            said = f"{'ok' if fits else 'BROKEN'}: {ratio:.2f} of {bound} x {yardstick}"
        print(
            f"| {name} | {median * 1000:.0f} | {median / medians[PASS]:.2f} | {gcloud} | {said} |"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
