"""The tables of gRPC methods, ours and those of plug-ins, as one.

A table stands in a module of its own together with the import of its messages, so that an API whose
package is not installed is missing from the gRPC face and nothing else is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module

from jobrunner.calls import Method, Rpc

OWN = ("jobrunner.api.grpc.shared:RPCS", "jobrunner.api.grpc.rpcs:RPCS")
HINT = "pip install 'jobrunner[grpc]'"
MESSAGES = ("google", "grpc", "proto")
"""Where a module that is not found belongs to a package of messages."""

log = logging.getLogger("jobrunner.server")


def load(targets: Sequence[str]) -> dict[str, Rpc]:
    """The tables at ``targets`` (``module:attribute``). One that cannot be had costs itself, and
    the log says what is missing; so does a second table for a method that has one."""
    found: dict[str, Rpc] = {}
    for target in targets:
        for name, rpc in _table(target).items():
            if name in found:
                log.error("%s: %s stands in another table already.", target, name)
            else:
                found[name] = rpc
    return found


def joined(methods: Sequence[Method], rpcs: Mapping[str, Rpc]) -> list[tuple[Method, Rpc]]:
    """The methods that can be called by gRPC; the log names the services that cannot, or those of
    their methods that an older package does not have."""
    there = {_service(name) for name in rpcs}
    found, missing = [], set()
    for method in methods:
        if method.grpc in rpcs:
            found.append((method, rpcs[method.grpc]))
        elif method.grpc:
            service = _service(method.grpc)
            missing.add(method.grpc if service in there else service)
    if missing:
        log.warning("Not there over gRPC, only over HTTP: %s.", ", ".join(sorted(missing)))
    return found


def _service(name: str) -> str:
    return name.partition("/")[0]


def _table(target: str) -> Mapping[str, Rpc]:
    module, _, attribute = target.partition(":")
    try:
        table: Mapping[str, Rpc] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(MESSAGES):
            log.exception("The gRPC methods at %s cannot be loaded", target)
        else:
            log.warning(
                "gRPC goes without the methods at %s: %s is not installed (%s).",
                target, error.name, HINT,
            )  # fmt: skip
        return {}
    except Exception:
        log.exception("The gRPC methods at %s cannot be loaded", target)
        return {}
    return table
