"""What an engine's "no" means for the launch that it was said to."""

from __future__ import annotations

import re

from jobrunner.backends._docker.engine import EngineRefused
from jobrunner.errors import LaunchFailed

MISSING = "ContainerMissing"
DENIED = "ContainerPermissionDenied"
COMMAND = "ContainerCommandFailed"
CONFIG = "ContainerConfigInvalid"
PULL = "ContainerImportFailed"
ENGINE = "BackendUnavailable"
STALE = "StaleLease"

_NOISE = re.compile(
    r"^(?:failed to create (?:shim(?: task)?|task for container): |OCI runtime create failed: |"
    r"runc create failed: |unable to start container process: |"
    r"error during container init: |container_linux\.go:\d+: |starting container process caused: |"
    r"process_linux\.go:\d+: |container init caused: )+"
)
_COMMAND = re.compile(
    r"executable file not found|exec(?: format error|: \")|no command specified|"
    r"exec user process|argument list too long",
    re.IGNORECASE,
)
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_SETTING = re.compile(
    r"network \S+ not found|no such network|cannot mkdir|not a directory|chdir to cwd|"
    r"bind source path does not exist|mount|unable to find user|no matching entries in passwd|"
    r"unable to find group",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"dial tcp|no such host|i/o timeout|connection re(?:fused|set)|tls handshake timeout|"
    r"temporary failure|\bEOF\b|deadline exceeded|client\.timeout|too ?many ?requests|"
    r"server misbehaving|network is unreachable|50[0234] ",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"unauthorized|authentication required|no basic auth credentials|denied|forbidden",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"manifest unknown|not found|name unknown|repository does not exist|no such image|"
    r"manifest for .* not found",
    re.IGNORECASE,
)


def trimmed(message: str) -> str:
    """The cause, without the layers of the engine that it came through."""
    text = _NOISE.sub("", message.strip()).removesuffix(": unknown").strip()
    return text or message.strip()


def launch_failed(error: EngineRefused, image: str) -> LaunchFailed:
    """For a refused create or start. Trying again is pointless where the request is at fault, and
    not where the engine is."""
    cause = trimmed(error.message)
    if _DISK.search(cause):
        return LaunchFailed(
            f"The container engine has no space left: {cause}.",
            permanent=False,
            reason=ENGINE,
            hint="Free some space (docker system df shows who holds it).",
        )
    if error.status == 404 and "no such image" in cause.lower():
        return LaunchFailed(f"Image '{image}' not found.", permanent=True, reason=MISSING)
    if _COMMAND.search(cause):
        return LaunchFailed(
            f"The container's command could not be started: {cause}.",
            permanent=True,
            reason=COMMAND,
        )
    if error.status in (400, 404) or _SETTING.search(cause):
        return LaunchFailed(
            f"The container engine refused the container: {cause}.", permanent=True, reason=CONFIG
        )
    return LaunchFailed(
        f"The container could not be started: {cause}.", permanent=False, reason=ENGINE
    )


def pull_failed(image: str, words: str) -> LaunchFailed:
    """For an image that could not be fetched. ``words`` are the engine's."""
    cause = trimmed(words).rstrip(".")
    if _DISK.search(cause):
        return LaunchFailed(
            f"Image '{image}' could not be imported: {cause}.", permanent=False, reason=PULL,
            hint="Free some space (docker system df shows who holds it).",
        )  # fmt: skip
    if "server gave http response to https client" in cause.lower():
        return LaunchFailed(
            f"Image '{image}' could not be imported: {cause}.", permanent=True, reason=PULL,
            hint="A registry without TLS must be listed in the engine's insecure-registries.",
        )  # fmt: skip
    if _ABSENT.search(cause):
        hint = "docker login may be needed." if _DENIED.search(cause) else None
        return LaunchFailed(
            f"Image '{image}' not found. The engine says: {cause}.",
            permanent=True, reason=MISSING, hint=hint,
        )  # fmt: skip
    if _UNREACHABLE.search(cause):
        return LaunchFailed(
            f"Image '{image}' could not be imported: {cause}.", permanent=False, reason=PULL
        )
    if _DENIED.search(cause):
        return LaunchFailed(
            f"Image '{image}' may not be pulled. The engine says: {cause}.",
            permanent=True, reason=DENIED, hint="Log in with docker login as the runner's user.",
        )  # fmt: skip
    return LaunchFailed(
        f"Image '{image}' could not be imported: {cause}.", permanent=True, reason=PULL
    )
