"""Huey, SQLite with ``synchronous=FULL``, worker threads. From the first call to the last result;
the consumer's start is not counted."""

import os
import time

import common
from huey import SqliteHuey

huey = SqliteHuey("bench", filename=os.environ["BENCH_HUEY"], fsync=True)


@huey.task()
def task() -> int:
    return common.body()


def main() -> None:
    # The consumer imports this module by its name: enqueue under the same name.
    import p_huey

    p_huey.huey.flush()
    worker = common.worker(
        [f"{common.BIN}/huey_consumer", "p_huey.huey", "-w", str(common.PARALLELISM), "-k",
         "thread", "-q", "-d", "0.005", "-b", "1.0", "-m", "0.02"]
    )  # fmt: skip
    try:
        for result in [p_huey.task() for _ in range(common.WARM_UP)]:
            result.get(blocking=True, timeout=60)
        began = time.perf_counter()
        results = [p_huey.task() for _ in range(common.TASKS)]
        failed = sum(
            bool(result.get(blocking=True, timeout=200, backoff=1, max_delay=0.01))
            for result in results
        )
        common.say(time.perf_counter() - began, failed)
    finally:
        common.stop(worker)


if __name__ == "__main__":
    main()
