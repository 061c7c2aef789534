"""One task that fails now and then: with probability RATE, and the same way in every run.

Whether an attempt fails follows from SEED, the task's index and the attempt's number alone.
"""

import hashlib
import os
import sys

EXIT_CODE = 75  # "temporary failure" in sysexits.h


def luck(seed: str, index: str, attempt: str) -> float:
    """Evenly spread over [0, 1)."""
    digest = hashlib.sha256(f"{seed}/{index}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def main() -> None:
    index = os.environ["CLOUD_RUN_TASK_INDEX"]
    attempt = os.environ["CLOUD_RUN_TASK_ATTEMPT"]
    rate = float(os.environ.get("RATE", "0.3"))
    if luck(os.environ.get("SEED", "spring"), index, attempt) < rate:
        print("the other side did not answer", file=sys.stderr)
        sys.exit(EXIT_CODE)
    print("done")


if __name__ == "__main__":
    main()
