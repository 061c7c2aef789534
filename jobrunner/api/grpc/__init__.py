"""The methods of Cloud Run v2 over gRPC, for client libraries whose default transport it is.

The messages are those of the package ``google-cloud-run``, an extra of ours. A request message
becomes the same :class:`~jobrunner.calls.Call` as its HTTP form, goes to the same handler, and the
JSON of the answer becomes the response message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobrunner.api.audit import Audit, no_audit
from jobrunner.api.http.guard import Authenticator, is_loopback
from jobrunner.calls import Method
from jobrunner.errors import Refused

if TYPE_CHECKING:
    from jobrunner.api.grpc.server import Serving


@dataclass(frozen=True, slots=True)
class Tls:
    """``certificate`` (the whole chain) and ``key`` are PEM."""

    certificate: bytes
    key: bytes


async def start(
    methods: Sequence[Method],
    *,
    host: str,
    port: int,
    authenticate: Authenticator,
    tls: Tls | None = None,
    audit: Audit = no_audit,
) -> Serving:
    """Serves those of ``methods`` that have a gRPC name, on the running event loop. ``port`` 0
    takes a free one. ``authenticate`` and ``audit`` are those of the HTTP face. Raises Refused
    if the package is missing or the port is taken."""
    try:
        from jobrunner.api.grpc.server import Face, serve
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("grpc", "google", "proto")):
            raise
        raise Refused(
            "--grpc-port needs the package google-cloud-run, which is not installed.",
            hint="Install it: pip install 'jobrunner[grpc]'",
        ) from error
    face = Face(methods, authenticate, audit, loopback=is_loopback(host))
    return await serve(face, host=host, port=port, tls=tls)
