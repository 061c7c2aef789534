"""Methods over gRPC, for client libraries whose default transport it is.

The messages are those of Google's own packages (``google-cloud-run`` for Cloud Run, others for the
APIs of plug-ins), an extra of ours. A request message becomes the same
:class:`~jobrunner.calls.Call` as its HTTP form, goes to the same handler, and the JSON of the
answer becomes the response message. Which message and which field is which stands in tables of
:class:`~jobrunner.calls.Rpc`.
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
    tables: Sequence[str] = (),
) -> Serving:
    """Serves those of ``methods`` that have a gRPC name, on the running event loop. ``port`` 0
    takes a free one. ``authenticate`` and ``audit`` are those of the HTTP face. ``tables`` are
    those of plug-ins, as ``module:attribute``. An API whose messages are not installed is left out,
    and the log says so. Raises Refused if that is all of them, or the port is taken."""
    try:
        from jobrunner.api.grpc.server import Face, serve
        from jobrunner.api.grpc.tables import OWN, joined, load
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("grpc", "google", "proto")):
            raise
        raise _not_installed() from error
    rpcs = load([*OWN, *tables])
    if not rpcs:
        raise _not_installed()
    face = Face(joined(methods, rpcs), authenticate, audit, loopback=is_loopback(host))
    return await serve(face, host=host, port=port, tls=tls)


def _not_installed() -> Refused:
    return Refused(
        "--grpc-port needs grpcio and the messages of Google's client libraries, which are not"
        " installed.",
        hint="Install them: pip install 'jobrunner[grpc]'",
    )
