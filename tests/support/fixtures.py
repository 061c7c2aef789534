"""Fixtures over real things: a home, throw-away PostgreSQL databases, images and a registry."""

import contextlib
import hashlib
import io
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.components import engine_socket, postgres_bin, require

BUSYBOX_IMAGE = "jobrunner-test/busybox:latest"
START_TIMEOUT = 60.0


_PORTS, _PORTS_EACH = range(10_000, 32_000), 100
"""Below those that Linux gives to whoever asks for any port, and to what connects: between our look
and our use nobody is given one of these."""
_port_numbers = itertools.count()


def free_port() -> int:
    """A loopback port that nobody listens on, nor will, but whoever asked for it: processes that
    run side by side look in places of their own."""
    first = os.getpid() * _PORTS_EACH % len(_PORTS)
    for _ in range(_PORTS_EACH):
        port = _PORTS[first + next(_port_numbers) % _PORTS_EACH]
        # As wide as the widest of those that will listen.
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))
            return port
    raise AssertionError(f"no port is free of {_PORTS[first]} and the {_PORTS_EACH} behind it")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh JOBRUNNER_HOME with a short path: the sockets inside must fit into 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="jr-", dir="/tmp"))
    monkeypatch.setenv("JOBRUNNER_HOME", str(path))
    monkeypatch.delenv("JOBRUNNER_DATABASE_URL", raising=False)
    yield path
    shutil.rmtree(path, ignore_errors=True)


# PostgreSQL ---------------------------------------------------------------------------------------


def _unprivileged() -> tuple[list[str], int, int]:
    """A command prefix that drops root, which PostgreSQL refuses, and ends with us; its user."""
    prefix = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return prefix, os.geteuid(), os.getegid()
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*prefix, *ids], user.pw_uid, user.pw_gid


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own in a temporary directory; gives the URL of its first database.

    Nothing it stores survives (``fsync`` is off), and it ends with the process that started it.
    """
    programs = postgres_bin()
    assert programs is not None
    prefix, uid, gid = _unprivileged()
    root = Path(tempfile.mkdtemp(prefix="jr-pg-", dir="/tmp"))
    os.chown(root, uid, gid)
    data = root / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    subprocess.run(
        [*prefix, str(programs / "initdb"), "--pgdata", str(data), "--username", "jobrunner",
         "--auth", "trust", "--encoding", "UTF8", "--no-sync"],
        check=True, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(root),
        "port": str(port),
        "max_connections": "200",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    log = root / "server.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [*prefix, str(programs / "postgres"), "-D", str(data)]
            + [word for key, value in options.items() for word in ("-c", f"{key}={value}")],
            cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
        )  # fmt: skip
    try:
        url = f"postgresql://jobrunner@127.0.0.1:{port}/postgres"
        _wait_for_postgres(url, server, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.send_signal(3)  # QUIT: at once, connections or not
            server.wait(60)
        shutil.rmtree(root, ignore_errors=True)


def _wait_for_postgres(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}", pytrace=False)
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a database on a throw-away server that the whole test session shares."""
    require("postgres")
    with postgres_server() as url:
        yield url


_numbers = itertools.count(1)


@pytest.fixture
def fresh_postgres_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database that only this test sees."""
    import psycopg

    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# Containers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def docker_socket() -> str:
    """The path of the socket of a container engine that answers."""
    require("docker")
    return engine_socket()


def busybox_tar() -> bytes:
    """A root file system with one static program and its names: sh, sleep, cat and all the rest."""
    program = shutil.which("busybox")
    assert program is not None
    listing = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    content = Path(program).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        files = {
            "bin/busybox": (content, 0o755),
            "etc/passwd": (
                b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
                0o644,
            ),
            "etc/group": (b"root:x:0:\nuser:x:1000:\n", 0o644),
        }
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
        for applet in sorted(set(listing.stdout.split()) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return buffer.getvalue()


@cache
def make_busybox_image(engine: str) -> None:
    """Makes BUSYBOX_IMAGE on the engine behind this socket, unless the same one is there already:
    each import leaves another nameless image behind."""
    import docker

    content = busybox_tar()
    mark = hashlib.sha256(content).hexdigest()
    client = docker.APIClient(base_url=f"unix://{engine}")
    try:
        for found in client.images(name=BUSYBOX_IMAGE, filters={"label": f"content={mark}"}):
            if BUSYBOX_IMAGE in (found["RepoTags"] or []):
                return
        repository, tag = BUSYBOX_IMAGE.split(":")
        client.import_image_from_data(
            content,
            repository=repository,
            tag=tag,
            changes=["ENV PATH=/bin", 'CMD ["/bin/sh"]', f"LABEL content={mark}"],
        )
    finally:
        client.close()


@pytest.fixture(scope="session")
def busybox_image(docker_socket: str) -> str:
    """The tag of a small local image with a shell, made here: nothing is pulled from anywhere."""
    require("busybox")
    make_busybox_image(docker_socket)
    return BUSYBOX_IMAGE


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The ``host:port`` of an empty image registry on loopback, where engines ask for no TLS."""
    require("registry")
    root = Path(tempfile.mkdtemp(prefix="jr-reg-", dir="/tmp"))
    address = f"127.0.0.1:{free_port()}"
    (root / "config.yml").write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: {address}}}\n"
    )
    with (root / "registry.log").open("wb") as sink:
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", f"{root}/config.yml"],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=60).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    log = (root / "registry.log").read_text()
                    pytest.fail(f"docker-registry did not start:\n{log}", pytrace=False)
                time.sleep(0.05)
        yield address
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(root, ignore_errors=True)
