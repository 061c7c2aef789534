"""Fan-out of no-op containers: the docker backend against the bare Engine API and ``docker run``.

    python benchmarks/containers.py [-n 50] [-p 2 -p 10] [-r 5] [--only NAME ...]

Each round runs every contender once, in an order that is shuffled per round; the ratios of a round
are to the raw loop and to ``docker run`` of the same round. Prints one Markdown table per
parallelism.

raw       http.client, one kept connection per thread: create, start, wait, delete. The floor.
cli       ``docker run --rm`` under ``xargs -P``
backend   jobrunner.backends.docker: launch, wait, discard; output captured to the log
product   ``jobrunner run --image``, state on SQLite, from the first claim to the recorded end
command   the same, the start and end of the command included
"""

import argparse
import asyncio
import http.client
import io
import json
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

IMAGE = "jobrunner-bench/noop:1"
SOCKET = "/var/run/docker.sock"


class Unix(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def make_image() -> None:
    """Busybox (the static one) and nothing else."""
    program = shutil.which("busybox")
    if program is None:
        sys.exit("busybox (the static one) is needed: apt-get install busybox-static")
    import docker

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(program, "bin/true")
    client = docker.APIClient(base_url=f"unix://{SOCKET}")
    repository, tag = IMAGE.split(":")
    client.import_image_from_data(buffer.getvalue(), repository=repository, tag=tag)
    client.close()


def raw(count: int, parallelism: int) -> None:
    local = threading.local()

    def call(method: str, path: str, body: object = None) -> bytes:
        connection = getattr(local, "connection", None)
        if connection is None:
            connection = local.connection = Unix("docker")
        headers = {"Content-Type": "application/json"} if body is not None else {}
        data = json.dumps(body) if body is not None else None
        connection.request(method, "/v1.41" + path, data, headers)
        answer = connection.getresponse()
        content: bytes = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content

    def one(_: int) -> None:
        body = {
            "Image": IMAGE, "Cmd": ["/bin/true"],
            "HostConfig": {"NetworkMode": "default", "LogConfig": {"Type": "json-file"}},
        }  # fmt: skip
        container = json.loads(call("POST", "/containers/create", body))["Id"]
        call("POST", f"/containers/{container}/start")
        code = json.loads(call("POST", f"/containers/{container}/wait"))["StatusCode"]
        call("DELETE", f"/containers/{container}?v=1")
        assert code == 0

    with ThreadPoolExecutor(parallelism) as pool:
        list(pool.map(one, range(count)))


def cli(count: int, parallelism: int) -> None:
    command = ["xargs", "-P", str(parallelism), "-I{}", "docker", "run", "--rm", IMAGE, "/bin/true"]
    numbers = "\n".join(map(str, range(count)))
    subprocess.run(command, input=numbers, text=True, check=True, capture_output=True)


def backend(count: int, parallelism: int) -> None:
    from jobrunner.backends.docker import DockerBackend
    from jobrunner.core.records import AttemptKey
    from jobrunner.ports import LaunchSpec, LaunchTemplate

    home = tempfile.mkdtemp(prefix="jr-bench-", dir="/tmp")
    template = LaunchTemplate(
        execution=f"bench-{time.time_ns()}", execution_name="bench", job_name="bench",
        project="local", region="us-central1", image=IMAGE, args=("/bin/true",),
    )  # fmt: skip

    async def drive() -> None:
        docker = DockerBackend(home)
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                key = AttemptKey(template.execution, number, 0)
                launched = await docker.launch(
                    LaunchSpec(key, template, lease=1, log=f"{home}/logs/{number}.0")
                )
                status = await docker.wait(launched.handle)
                assert status.code == 0, status
                await docker.discard(launched.handle)

        await asyncio.gather(*(worker() for _ in range(parallelism)))
        await docker.close()

    try:
        asyncio.run(drive())
    finally:
        shutil.rmtree(home)


def product(count: int, parallelism: int) -> float:
    """Seconds by the record: what ``fanout`` counts for processes."""
    from harness.product import WHOLE, recorded

    home = tempfile.mkdtemp(prefix="jr-bench-", dir="/tmp")
    command = [
        str(Path(sys.executable).with_name("jobrunner")), "run", "--image", IMAGE,
        "--tasks", str(count), "--parallelism", str(parallelism), "--", "/bin/true",
    ]  # fmt: skip
    try:
        environment = {**os.environ, "JOBRUNNER_HOME": home, "JOBRUNNER_DATABASE_URL": ""}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return recorded(Path(home), count, WHOLE)
    finally:
        shutil.rmtree(home)


def command(count: int, parallelism: int) -> None:
    product(count, parallelism)


CONTENDERS: dict[str, Callable[[int, int], float | None]] = {
    "raw": raw,
    "cli": cli,
    "backend": backend,
    "product": product,
    "command": command,
}


def measured(name: str, count: int, parallelism: int) -> tuple[float, float]:
    """(seconds, CPU seconds of this side) of one run in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, __file__, "--one", name, "-n", str(count), "-p", str(parallelism)]
    run = subprocess.run(words, check=True, capture_output=True, text=True)
    wall = float(run.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert wall <= time.perf_counter() - began
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def paired(ours: list[float], theirs: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("-p", type=int, action="append")
    parser.add_argument("-r", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        began = time.perf_counter()
        recorded = CONTENDERS[options.one](options.n, options.p[0])
        print(time.perf_counter() - began if recorded is None else recorded)
        return
    make_image()
    names = ["raw", *(name for name in options.only if name != "raw")]
    for parallelism in options.p or [2, 10]:
        walls: dict[str, list[float]] = {name: [] for name in names}
        cpus: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(options.r):
            for name in random.sample(names, len(names)):
                wall, cpu = measured(name, options.n, parallelism)
                walls[name].append(wall)
                cpus[name].append(cpu)
        print(f"\n{options.n} containers, parallelism {parallelism}, {options.r} rounds\n")
        print("| what | median s | per s | of raw | min to max | of docker run | CPU ms each |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for name in names:
            ratios = paired(walls[name], walls["raw"])
            of_run = paired(walls[name], walls["cli"]) if "cli" in walls else []
            shown = f"{statistics.median(of_run):.2f}x" if of_run else ""
            wall = statistics.median(walls[name])
            cpu = statistics.median(cpus[name]) / options.n * 1000
            print(
                f"| {name} | {wall:.2f} | {options.n / wall:.2f} | "
                f"{statistics.median(ratios):.2f}x | {min(ratios):.2f} to {max(ratios):.2f} | "
                f"{shown} | {cpu:.1f} |"
            )


if __name__ == "__main__":
    main()
