"""What can be said of an engine, or of its absence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from jobrunner.backends._docker.endpoint import BadEndpoint, Endpoint
from jobrunner.backends._docker.engine import Engine, Facts
from jobrunner.errors import BackendFault
from jobrunner.ports import Health

LITTLE_SPACE = 1024**3

INSTALL = (
    "Install Docker (Debian and Ubuntu: sudo apt-get install docker.io), or run without an image."
)
START = "Start it: sudo systemctl start docker."
PERMISSION = (
    "Let your user talk to it: sudo usermod -aG docker $USER, then log in again. "
    "Whoever may do that can become root on this machine."
)


async def probe(engine: Engine | BadEndpoint) -> Health:
    if isinstance(engine, BadEndpoint):
        return Health(False, engine.message, engine.hint or "")
    try:
        facts = await engine.facts()
    except BackendFault as error:
        return absent(engine.endpoint, error)
    return present(engine.endpoint, facts, free_space(engine.endpoint, facts))


def absent(endpoint: Endpoint, error: BackendFault) -> Health:
    where = endpoint.socket or endpoint.url
    cause = error.__cause__
    if isinstance(cause, PermissionError):
        return Health(False, f"No permission to use the container engine at {where}.", PERMISSION)
    if isinstance(cause, FileNotFoundError):
        if shutil.which("dockerd") or shutil.which("docker"):
            return Health(False, f"The container engine is not running: no socket {where}.", START)
        return Health(False, "Docker is not installed.", INSTALL)
    if isinstance(cause, ConnectionRefusedError):
        return Health(False, f"The container engine is not running: nobody answers {where}.", START)
    return Health(
        False, f"The container engine at {where} does not answer: {error.message}.", START
    )


def present(endpoint: Endpoint, facts: Facts, free: int | None) -> Health:
    told = told_facts(endpoint, facts, free)
    if facts.os_type != "linux":
        return Health(
            False, f"The container engine runs {facts.os_type} containers.",
            "Switch it to Linux containers.", told,
        )  # fmt: skip
    detail = f"Docker {facts.version}, API {facts.api}, {facts.cpus} CPUs"
    detail += f", {facts.memory / 1024**3:.1f} GiB of memory"
    lacking = [
        name
        for name, key in (("memory", "MemoryLimit"), ("CPU", "CpuCfsQuota"))
        if facts.raw.get(key) is False
    ]
    hints = []
    if lacking:
        hints.append(f"The kernel enforces no {' and no '.join(lacking)} limits of containers.")
    if free is not None and free < LITTLE_SPACE:
        hints.append(
            f"Only {free // 1024**2} MiB of disk are left for images and containers: "
            "docker system df shows who holds the rest."
        )
    return Health(True, detail, " ".join(hints), told)


def told_facts(endpoint: Endpoint, facts: Facts, free: int | None) -> Mapping[str, str]:
    raw = facts.raw
    told = {
        "endpoint": endpoint.url,
        "version": facts.version,
        "api": facts.api,
        "os": str(raw.get("OperatingSystem", "")),
        "cpus": str(facts.cpus),
        "memory_bytes": str(facts.memory),
        "cgroup": f"v{raw.get('CgroupVersion', '1')}, {raw.get('CgroupDriver', 'unknown')}",
        "memory_limit": _yes_no(raw.get("MemoryLimit")),
        "swap_limit": _yes_no(raw.get("SwapLimit")),
        "cpu_limit": _yes_no(raw.get("CpuCfsQuota")),
        "storage": str(raw.get("Driver", "")),
        "root_dir": str(raw.get("DockerRootDir", "")),
        "live_restore": _yes_no(facts.live_restore),
    }
    if free is not None:
        told["free_bytes"] = str(free)
    return told


def free_space(endpoint: Endpoint, facts: Facts) -> int | None:
    """Bytes free where the engine keeps its things, if that is on this machine and to be seen."""
    root = str(facts.raw.get("DockerRootDir") or "")
    if endpoint.socket is None or not root:
        return None
    while root != "/":
        try:
            found = os.statvfs(root)
            return found.f_bavail * found.f_frsize
        except PermissionError:
            root = os.path.dirname(root)
        except OSError:
            return None
    return None


def _yes_no(value: object) -> str:
    return "yes" if value else "no"
