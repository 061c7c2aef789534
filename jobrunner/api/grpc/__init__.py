"""The methods of Cloud Run v2 over gRPC, for client libraries whose default transport it is.

The messages are those of the package ``google-cloud-run``, an extra of ours. A request message
becomes the same :class:`~jobrunner.calls.Call` as its HTTP form, goes to the same handler, and the
JSON of the answer becomes the response message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jobrunner.calls import Method, Principal
from jobrunner.errors import Refused

if TYPE_CHECKING:
    from jobrunner.api.grpc.server import Serving

Authenticate = Callable[[str | None], Awaitable[Principal]]
"""Who calls, by the bearer token or ``None`` without one; raises an error for a stranger."""


class Allow(Protocol):
    """Raises an error if the caller may not call the method."""

    def __call__(self, principal: Principal, method: Method) -> None: ...


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
    authenticate: Authenticate,
    allow: Allow,
    tls: Tls | None = None,
) -> Serving:
    """Serves those of ``methods`` that have a gRPC name, on the running event loop. ``port`` 0
    takes a free one. Raises Refused if the package is missing or the port is taken."""
    try:
        from jobrunner.api.grpc.server import serve
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("grpc", "google", "proto")):
            raise
        raise Refused(
            "--grpc-port needs the package google-cloud-run, which is not installed.",
            hint="Install it: pip install 'jobrunner[grpc]'",
        ) from error
    return await serve(
        methods, host=host, port=port, authenticate=authenticate, allow=allow, tls=tls
    )
