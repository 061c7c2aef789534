"""What ``jobrunner serve`` was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobrunner.core.faults import Faults
from jobrunner.core.news import News

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8686


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """``backend`` runs every execution there, whatever it asks for. ``allow_hosts`` are further
    names that requests may call this server by. ``tls_cert`` and ``tls_key`` are paths. ``virtual``
    is for a clock that is moved by hand; ``start`` is where it begins in a home that is on real
    time, ``None`` for now. ``faults`` are made on purpose. ``tell`` hears what
    happens. ``patient`` lets the first SIGINT wait for what runs."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    backend: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    allow_hosts: tuple[str, ...] = ()
    grpc_port: int | None = None
    access_log: bool = False
    verbose: bool = False
    virtual: bool = False
    start: float | None = None
    faults: Faults | None = None
    tell: Callable[[News], None] | None = None
    patient: bool = False
