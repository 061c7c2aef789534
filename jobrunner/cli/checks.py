"""The checks behind ``jobrunner doctor``. Each looks at one thing and never raises."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import resource
import shutil
import sys
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobrunner.cli.words import size_text
from jobrunner.errors import JobrunnerError
from jobrunner.ports import Health

if TYPE_CHECKING:
    from jobrunner.settings import Settings

LEAST_PYTHON = (3, 11)
LEAST_KERNEL = (5, 4)
LEAST_DISK = 1024**3
FILES_PER_SLOT = 8
PROBE_SECONDS = 10.0
PROCESS, DOCKER, DATABASE, SERVER = "Processes", "Docker", "Database", "Server"


@dataclass(frozen=True, slots=True)
class Check:
    """``status`` is ok, warn (works, but), missing (a part is not here) or failed."""

    name: str
    status: str
    seen: str
    meaning: str = ""
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def can_run(checks: Sequence[Check]) -> bool:
    """Whether any job could run: a database, and at least one backend."""
    good = {check.name for check in checks if check.status in ("ok", "warn")}
    return DATABASE in good and bool(good & {PROCESS, DOCKER})


def all_checks(settings: Settings) -> list[Check]:
    processes, docker = asyncio.run(_probe(settings))
    return [
        python_check(sys.version_info[:3]),
        kernel_check(platform.system(), platform.release()),
        process_check(processes),
        docker_check(docker),
        database_check(settings),
        server_check(settings, os.environ),
        zones_check(zoneinfo.TZPATH),
        disk_check(settings.home),
        files_check(resource.getrlimit(resource.RLIMIT_NOFILE)[0], settings.slots),
        processes_check(resource.getrlimit(resource.RLIMIT_NPROC)[0], settings.slots),
        memory_check(),
        gcloud_check(shutil.which("gcloud")),
        emulator_check(os.environ.get("PUBSUB_EMULATOR_HOST"), shutil.which("gcloud")),
    ]


async def _probe(settings: Settings) -> list[Health]:
    return [await _probe_one(settings, name) for name in ("process", "docker")]


async def _probe_one(settings: Settings, name: str) -> Health:
    from jobrunner.app import make_backend

    try:
        backend = make_backend(settings, name)
    except (JobrunnerError, ImportError) as error:
        return Health(ok=False, detail=str(error))
    try:
        return await asyncio.wait_for(backend.probe(), PROBE_SECONDS)
    except TimeoutError:
        return Health(ok=False, detail=f"no answer within {PROBE_SECONDS:g} seconds")
    finally:
        await backend.close()


def python_check(version: tuple[int, ...]) -> Check:
    text = ".".join(map(str, version))
    if version >= LEAST_PYTHON:
        return Check("Python", "ok", text)
    return Check("Python", "failed", text, remedy="Install Python 3.11 or later.")


def kernel_check(system: str, release: str) -> Check:
    if system != "Linux":
        return Check(
            "Kernel",
            "warn",
            f"{system} {release}",
            "Plain processes need Linux; containers on Docker work.",
        )
    digits = release.split("-")[0].split(".")[:2]
    version = tuple(int(part) for part in digits if part.isdecimal())
    if version >= LEAST_KERNEL:
        return Check("Kernel", "ok", f"Linux {release}")
    return Check(
        "Kernel",
        "warn",
        f"Linux {release}",
        "Plain processes need Linux 5.4 or later; containers on Docker work.",
    )


def process_check(health: Health) -> Check:
    meaning = (
        "Jobs without an image run as processes of your own user: no isolation, CPU and memory "
        "limits are not enforced."
    )
    if health.ok:
        return Check(PROCESS, "ok", health.detail, meaning)
    return Check(PROCESS, "failed", health.detail, "Jobs without an image cannot run.", health.hint)


def docker_check(health: Health) -> Check:
    if health.ok:
        return Check(DOCKER, "ok", health.detail, "Jobs with an image run in containers.")
    return Check(
        DOCKER,
        "missing",
        health.detail,
        "Jobs with an image cannot run; jobs without one can.",
        health.hint or "Install a container engine, start it, and see that you may use its socket.",
    )


def database_check(settings: Settings) -> Check:
    from jobrunner.app import App

    try:
        with App.open(settings) as app:
            facts = app.store.facts()
    except JobrunnerError as error:
        return Check(DATABASE, "failed", error.message, "Nothing can be stored.", error.hint or "")
    return Check(DATABASE, "ok", ", ".join(f"{key} {value}" for key, value in facts.items()))


def server_check(settings: Settings, env: Mapping[str, str]) -> Check:
    """Whether commands go through a server, and whether it answers."""
    from jobrunner.client.finding import finder
    from jobrunner.client.remote import Remote
    from jobrunner.lib import serverfile
    from jobrunner.service.calls import PROTOCOL

    find = finder(env, settings.home)
    try:
        endpoint = find()
        if endpoint is None:
            other = serverfile.read(settings.home)
            if other is not None and other.live():
                return Check(
                    SERVER,
                    "warn",
                    f"{other.endpoint} has another database than JOBRUNNER_DATABASE_URL",
                    "Commands work by themselves, on the database of the variable.",
                )
            return Check(SERVER, "ok", "none on this home", "Commands work by themselves.")
        with Remote(settings, find) as remote:
            about = remote.about()
    except JobrunnerError as error:
        return Check(SERVER, "failed", error.message, "Commands cannot work.", error.hint or "")
    process = f", pid {endpoint.pid}" if endpoint.pid is not None else ""
    seen = f"{endpoint.url}{process}, jobrunner {about.version}"
    if about.protocol != PROTOCOL:
        remedy = "Use the same version of jobrunner on both sides."
        return Check(SERVER, "failed", seen, "It is of another version: commands fail.", remedy)
    if not about.accepts:
        return Check(SERVER, "warn", f"{seen}, going down", "It starts nothing any more.")
    return Check(SERVER, "ok", seen, "Commands go through it.")


def disk_check(home: str) -> Check:
    try:
        usage = shutil.disk_usage(home if os.path.exists(home) else os.path.dirname(home) or "/")
    except OSError as error:
        return Check("Disk", "warn", f"{home}: {error.strerror}")
    seen = f"{size_text(usage.free)} free of {size_text(usage.total)} at {home}"
    if usage.free >= LEAST_DISK:
        return Check("Disk", "ok", seen)
    return Check(
        "Disk",
        "warn",
        seen,
        "Output and state may not fit.",
        "Free some space, or: jobrunner db prune --max-age 7d",
    )


def files_check(limit: int, slots: int) -> Check:
    needed = slots * FILES_PER_SLOT + 64
    seen = "no limit" if limit == resource.RLIM_INFINITY else f"{limit} open files"
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return Check("Open files", "ok", seen)
    return Check(
        "Open files",
        "warn",
        seen,
        f"{slots} tasks at once need up to {needed}.",
        f"Raise it: ulimit -n {needed}",
    )


def processes_check(limit: int, slots: int) -> Check:
    seen = "no limit" if limit == resource.RLIM_INFINITY else f"{limit} processes of this user"
    if limit == resource.RLIM_INFINITY or limit >= slots * 4:
        return Check("Process limit", "ok", seen)
    return Check(
        "Process limit",
        "warn",
        seen,
        f"{slots} tasks at once may not fit.",
        "Raise it (ulimit -u), or lower JOBRUNNER_SLOTS.",
    )


def memory_check() -> Check:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Check("Memory", "ok", f"{size_text(total)}, {os.cpu_count()} CPUs")


def zones_check(directories: Sequence[str]) -> Check:
    """``directories`` are where the machine keeps its database, if it has one."""
    for directory in directories:
        if os.path.exists(os.path.join(directory, "Europe", "London")):
            return Check("Time zones", "ok", directory)
    if importlib.util.find_spec("tzdata"):
        from importlib.metadata import version

        return Check("Time zones", "ok", f"of the Python package tzdata {version('tzdata')}")
    return Check(
        "Time zones",
        "missing",
        "there is no database of time zones",
        "Schedules can be in UTC only.",
        "Install tzdata, of the system or by pip.",
    )


def gcloud_check(path: str | None) -> Check:
    if path:
        return Check("gcloud", "ok", path)
    return Check(
        "gcloud",
        "missing",
        "not found on PATH",
        "Only needed to move jobs to and from Cloud Run.",
        "Install the Google Cloud CLI if you want it.",
    )


def emulator_check(host: str | None, gcloud: str | None) -> Check:
    if host:
        return Check("Pub/Sub emulator", "ok", f"PUBSUB_EMULATOR_HOST is {host}")
    installed = ""
    if gcloud:
        sdk = os.path.dirname(os.path.dirname(os.path.realpath(gcloud)))
        if os.path.isdir(os.path.join(sdk, "platform", "pubsub-emulator")):
            installed = "installed, not running"
    return Check(
        "Pub/Sub emulator",
        "ok" if installed else "missing",
        installed or "not found",
        "Only needed to try messages from Pub/Sub without an account.",
        "Start it with: jobrunner pubsub emulator"
        if installed
        else "Install it with: gcloud components install pubsub-emulator",
    )
