"""Celery, prefork pool, Redis as broker and result backend. From the first ``delay`` to the last
result; the worker's start is not counted."""

import os
import time

import common
from celery import Celery

URL = os.environ["BENCH_REDIS"]
app = Celery("p_celery", broker=URL, backend=URL)
app.conf.update(worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)


@app.task(name="task")
def task() -> int:
    return common.body()


def main() -> None:
    app.control.purge()
    worker = common.worker(
        [f"{common.BIN}/celery", "-A", "p_celery", "worker", "-P", "prefork", "-c",
         str(common.PARALLELISM), "--without-gossip", "--without-mingle", "--without-heartbeat",
         "-l", "error"]
    )  # fmt: skip
    try:
        for result in [task.delay() for _ in range(common.WARM_UP)]:
            result.get(timeout=60)
        began = time.perf_counter()
        results = [task.delay() for _ in range(common.TASKS)]
        failed = sum(bool(result.get(timeout=200)) for result in results)
        common.say(time.perf_counter() - began, failed)
    finally:
        common.stop(worker)


if __name__ == "__main__":
    main()
