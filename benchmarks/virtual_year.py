"""A year of hourly fires on a virtual clock: to a local HTTP sink, and to a scripted job.

``python benchmarks/virtual_year.py [HOURS]`` starts a server and a sink in a new home, and prints
for both how long ``advance`` took, the processor time of the server, and what is on record.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from aiohttp import web

FROM = "2030-01-01T00:00:00Z"
PROGRAM = [sys.executable, "-m", "jobrunner.cli.main"]
TICKS = os.sysconf("SC_CLK_TCK")


class Sink:
    """Answers 200 and counts, on a thread of its own."""

    def __init__(self) -> None:
        self.count = 0
        self.port = 0
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await asyncio.Event().wait()

    async def _answer(self, request: web.Request) -> web.Response:
        await request.read()
        self.count += 1
        return web.Response()


def jobrunner(*words: str) -> str:
    run = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def started(home: str) -> subprocess.Popen[bytes]:
    words = ["serve", "--port", "0", "--clock", "virtual", "--from", FROM, "--backend", "scripted"]
    with open(f"{home}/serve.log", "wb") as said:
        server = subprocess.Popen([*PROGRAM, *words], stdout=said, stderr=said)
    while not Path(home, "server.json").exists():
        assert server.poll() is None, Path(home, "serve.log").read_text()
        time.sleep(0.05)
    return server


def advanced(what: str, server: subprocess.Popen[bytes], hours: int) -> None:
    used, began = processor_seconds(server.pid), time.monotonic()
    moved = json.loads(jobrunner("clock", "advance", f"{hours}h", "--format", "json"))
    took, used = time.monotonic() - began, processor_seconds(server.pid) - used
    assert moved["arrived"], moved
    print(
        f"{what}: {hours} fires in {took:.1f} s, {used:.1f} s of a processor"
        f" ({1000 * took / hours:.2f} and {1000 * used / hours:.2f} ms for each)",
        flush=True,
    )


def main() -> None:
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else 8760
    with tempfile.TemporaryDirectory() as home:
        os.environ["JOBRUNNER_HOME"] = home
        sink, server = Sink(), started(home)
        try:
            url = f"http://127.0.0.1:{sink.port}/hook"
            hourly = ("--schedule", "0 * * * *")
            jobrunner("schedules", "create", "http", "call", *hourly, "--uri", url)
            advanced("HTTP sink", server, hours)
            assert sink.count == hours, sink.count
            jobrunner("schedules", "delete", "call", "--quiet")
            jobrunner("jobs", "create", "work", "--command", "true", "--max-retries", "0")
            jobrunner("schedules", "create", "job", "run", *hourly, "--job", "work")
            advanced("scripted job", server, hours)
            kept = json.loads(
                jobrunner("executions", "list", "--limit", "1000", "--format", "json")
            )
            print(f"executions on record, after 30 days of retention: {len(kept)}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
