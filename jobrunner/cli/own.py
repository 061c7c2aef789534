"""Our own options, which Cloud Run has not: each is a flag and an annotation of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from jobrunner.cli.base import Decorator
from jobrunner.cli.params import DURATION
from jobrunner.core.options import BACKENDS, PREFIX
from jobrunner.core.quantities import format_duration

_SWITCHES = {
    "fail-fast": "Stop everything when the first task has failed for good.",
    "init": "Run an init process in each container.",
}
_DURATIONS = {
    "retry-backoff": "Wait this long before a first retry, doubled for each further one.",
    "retry-max-backoff": "Longest wait before a retry.",
    "grace-period": "Time between SIGTERM and SIGKILL  [default: 10s].",
    "deadline": "Time for the whole execution.",
}
_TEXTS = {
    "retry-rules": (
        "RULES",
        "What to do after an exit code, signal, timeout or oom: '3=fail-task;10-12=retry;"
        "SIGKILL=fail-execution'.",
    ),
    "host-mounts": ("LIST", "Files of this machine in the containers: '/SOURCE:/TARGET[:ro],...'."),
    "log-limit": ("SIZE", "How much output of an attempt is kept, as 64Mi."),
}


def own_options(*network: str) -> Decorator:
    """Adds the flags to a command. ``network`` are the names of the flag for the network of
    containers: 'jobs create' cannot have gcloud's ``--network``, which means a VPC, for it."""

    def add(function: Any) -> Any:
        for name, text in reversed(_SWITCHES.items()):
            function = click.option(f"--{name}/--no-{name}", default=None, help=text)(function)
        for name, text in reversed(_DURATIONS.items()):
            function = click.option(f"--{name}", type=DURATION, metavar="DURATION", help=text)(
                function
            )
        for name, (metavar, text) in reversed(_TEXTS.items()):
            function = click.option(f"--{name}", metavar=metavar, help=text)(function)
        function = click.option(
            *network, NETWORK, metavar="NAME", help="Docker network of the containers."
        )(function)
        return backend_option(function)

    return add


backend_option: Decorator = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="Where attempts run  [default: docker with an image, process without].",
)


NETWORK = "container_network"
"""The parameter of the flag for the annotation ``network``."""


def annotations_of(flags: Mapping[str, Any]) -> dict[str, str]:
    """The annotations that the given flags stand for."""
    found: dict[str, str] = {}
    for name in (*_SWITCHES, *_DURATIONS, *_TEXTS, "network", "backend"):
        value = flags.get(NETWORK if name == "network" else name.replace("-", "_"))
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, float):
            value = format_duration(value)
        found[PREFIX + name] = value
    return found
