"""The sockets a server listens on, bound before anything else is done."""

from __future__ import annotations

import errno
import socket

from jobrunner.errors import Refused, UsageError

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; ``port`` 0 takes a free one. Raises Refused when the port is taken or
    not ours to take, UsageError for a host that is no address of this machine."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise UsageError(f"--host: '{host}' is not a host name or an address") from None
    # With the protocol named asyncio sends what it has at once (TCP_NODELAY): else an answer of two
    # writes waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from None
    return listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _refused(host: str, port: int, error: OSError) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return Refused(
            f"Port {port} on {host} is taken by another program.",
            hint="Choose another one with --port, or find who listens: ss -ltnp",
        )
    if error.errno == errno.EACCES:
        return Refused(
            f"Port {port} may only be taken by root.", hint="Choose one above 1023 with --port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"--host: '{host}' is not an address of this machine")
    return Refused(f"The server cannot listen on {host}, port {port}: {error.strerror}.")
