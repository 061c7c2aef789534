"""Procrastinate on PostgreSQL, one worker, retries armed. From the first ``defer`` until every job
is stored as succeeded; the worker's start is not counted."""

import os
import time

import common
import psycopg
from procrastinate import App, PsycopgConnector

URL = os.environ["BENCH_POSTGRES"]
LIMIT_SECONDS = 200.0
app = App(connector=PsycopgConnector(conninfo=URL))


@app.task(name="task", queue="bench", retry=3)
def task() -> int:
    return common.body()


def main() -> None:
    # The worker imports this module by its name: defer under the same name.
    import p_procrastinate

    database = psycopg.connect(URL, autocommit=True)
    database.execute("DROP SCHEMA public CASCADE")
    database.execute("CREATE SCHEMA public")

    def done() -> int:
        row = database.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def wait_for(count: int) -> None:
        until = time.perf_counter() + LIMIT_SECONDS
        while done() < count:
            if time.perf_counter() > until:
                raise SystemExit(f"after {LIMIT_SECONDS:.0f} s only {done()} of {count} were done")
            time.sleep(0.02)

    with p_procrastinate.app.open():
        p_procrastinate.app.schema_manager.apply_schema()
        worker = common.worker(
            [f"{common.BIN}/procrastinate", "--app", "p_procrastinate.app", "worker", "-q",
             "bench", "-c", str(common.PARALLELISM)]
        )  # fmt: skip
        try:
            for _ in range(common.WARM_UP):
                p_procrastinate.task.defer()
            wait_for(common.WARM_UP)
            began = time.perf_counter()
            for _ in range(common.TASKS):
                p_procrastinate.task.defer()
            wait_for(common.WARM_UP + common.TASKS)
            common.say(time.perf_counter() - began, 0)
        finally:
            common.stop(worker)


if __name__ == "__main__":
    main()
