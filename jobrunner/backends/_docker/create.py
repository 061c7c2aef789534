"""From a launch to the body of ``POST /containers/create``, and the marks that find it again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobrunner.backends._docker.files import Mounted
from jobrunner.core.records import AttemptKey
from jobrunner.ports import LaunchSpec, LogLimits

LABEL = "dev.jobrunner."
HOME_LABEL = LABEL + "home"
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Marks:
    """What a container's labels say of it: all that a later runner needs to know of the launch.
    ``log`` is the base path of the attempt's log."""

    home: str
    key: AttemptKey
    lease: int
    log: str
    limits: LogLimits
    timeout: float | None
    grace: float


def marks_of(home: str, spec: LaunchSpec) -> Marks:
    template = spec.template
    return Marks(
        home,
        spec.key,
        spec.lease,
        spec.log,
        template.log_limits,
        template.timeout,
        template.grace,
    )


def home_id(machine: str, home: str) -> str:
    """Short and the same for the same directory (a real path) of the same machine."""
    return hashlib.sha256(f"{machine}\0{home}".encode()).hexdigest()[:12]


def container_name(home: str, spec: LaunchSpec) -> str:
    """Unique by home and attempt key: execution names may be used again once deleted, uids not."""
    uid = hashlib.sha256(spec.key.execution.encode()).hexdigest()[:8]
    execution = spec.template.execution_name[:100]
    return f"jobrunner-{home}-{execution}-{uid}-{spec.key.index}-{spec.key.number}"


def labels(home: str, spec: LaunchSpec) -> dict[str, str]:
    template = spec.template
    timeout = {} if template.timeout is None else {LABEL + "timeout": repr(template.timeout)}
    return {
        **timeout,
        HOME_LABEL: home,
        LABEL + "attempt": str(spec.key),
        LABEL + "execution": template.execution_name,
        LABEL + "job": template.job_name,
        LABEL + "lease": str(spec.lease),
        LABEL + "grace": repr(template.grace),
        LABEL + "log": spec.log,
        LABEL + "log-limits": f"{template.log_limits.head},{template.log_limits.tail}",
    }


def read_marks(found: Mapping[str, str] | None) -> Marks | None:
    """``None`` where the labels are not ours or do not say enough."""
    found = found or {}
    try:
        head, tail = found[LABEL + "log-limits"].split(",")
        timeout = found.get(LABEL + "timeout")
        return Marks(
            home=found[HOME_LABEL],
            key=AttemptKey.parse(found[LABEL + "attempt"]),
            lease=int(found[LABEL + "lease"]),
            log=found[LABEL + "log"],
            limits=LogLimits(int(head), int(tail)),
            timeout=float(timeout) if timeout else None,
            grace=float(found[LABEL + "grace"]),
        )
    except (KeyError, ValueError):
        return None


def create_body(
    spec: LaunchSpec,
    *,
    home: str,
    cpus: int,
    log_drivers: Sequence[str],
    secrets: Sequence[Mounted] = (),
) -> dict[str, Any]:
    """``cpus`` is what the engine's machine has (0: not known); an engine refuses more."""
    template = spec.template
    env = {**template.env, **spec.env}
    body: dict[str, Any] = {
        "Image": template.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": labels(home, spec),
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": False,
        "Tty": False,
        "StopSignal": "SIGTERM",
        # What an engine that is being shut down grants the task.
        "StopTimeout": math.ceil(template.grace),
        "HostConfig": _host_config(spec, cpus, log_drivers, secrets),
    }
    # An engine drops the image's CMD by itself when an entrypoint is given.
    if template.command:
        body["Entrypoint"] = list(template.command)
    if template.args:
        body["Cmd"] = list(template.args)
    if template.working_dir:
        body["WorkingDir"] = template.working_dir
    return body


def _host_config(
    spec: LaunchSpec, cpus: int, log_drivers: Sequence[str], secrets: Sequence[Mounted]
) -> dict[str, Any]:
    template = spec.template
    config: dict[str, Any] = {
        "LogConfig": log_config(log_drivers),
        "NetworkMode": template.network or "default",
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        # Stated both ways: the engine's own default may be to add one.
        "Init": template.init,
        "Mounts": [
            *(_bind(bind.source, bind.target, bind.read_only) for bind in template.binds),
            *(_bind(mounted.source, mounted.target, True) for mounted in secrets),
        ],
    }
    if template.cpus is not None:
        granted = min(template.cpus, cpus) if cpus else template.cpus
        config["NanoCpus"] = round(granted * NANO)
    if template.memory is not None:
        config["Memory"] = config["MemorySwap"] = template.memory
    if template.tmpfs:
        config["Tmpfs"] = {
            tmpfs.path: tmpfs_options(tmpfs.size, template.memory) for tmpfs in template.tmpfs
        }
    return config


def _bind(source: str, target: str, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def tmpfs_options(size: int | None, memory: int | None) -> str:
    """What is written counts against the memory limit, so no more than that is usable."""
    sizes = [value for value in (size, memory) if value is not None]
    options = "rw,exec,nosuid,nodev,mode=1777"
    return f"{options},size={min(sizes)}" if sizes else options


def log_config(drivers: Sequence[str]) -> dict[str, Any]:
    """The engine keeps the output until the container is removed, for a runner that comes later.
    ``local`` keeps bytes as they are (``json-file`` spoils what is not UTF-8); never rotated, or a
    later runner would find a part missing."""
    if "local" in drivers or not drivers:
        return {
            "Type": "local",
            "Config": {"max-size": "1p", "max-file": "1", "compress": "false"},
        }
    return {"Type": "json-file", "Config": {}}
