"""Images from a registry: pulled with progress, pinned by digest, refused with the reason."""

import asyncio
import base64
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobrunner.backends.docker import DockerBackend
from jobrunner.core.records import AttemptKey
from jobrunner.errors import LaunchFailed
from jobrunner.ports import LaunchSpec, LaunchTemplate
from tests.support.backends import output
from tests.support.components import engine_socket
from tests.support.waiting import PATIENCE

REGISTRIES: set[str] = set()
"""The addresses of those that images of this process came from."""


@pytest.fixture
def client() -> Iterator[Any]:
    """Leaves no image that came from a registry of this process: the engine is shared."""
    import docker

    client = docker.APIClient(base_url=f"unix://{engine_socket()}")
    yield client
    for found in client.images():
        names = [*(found["RepoTags"] or []), *(found["RepoDigests"] or [])]
        if any(name.partition("/")[0] in REGISTRIES for name in names):
            client.remove_image(found["Id"], force=True)
    client.close()


def publish(client: Any, source: str, name: str, *, word: str) -> str:
    """Pushes an image that prints ``word``; returns its digest. Nothing of it stays here."""
    repository, tag = name.rsplit(":", 1)
    REGISTRIES.add(name.partition("/")[0])
    container = client.create_container(source, ["/bin/true"])["Id"]
    client.commit(container, repository, tag, changes=[f'CMD ["/bin/echo", "{word}"]'])
    client.remove_container(container)
    digest = None
    for event in client.push(repository, tag, stream=True, decode=True):
        assert "error" not in event, event
        digest = (event.get("aux") or {}).get("Digest", digest)
    client.remove_image(name, force=True)
    assert isinstance(digest, str)
    return digest


@asynccontextmanager
async def opened(home: Path, **environ: str) -> AsyncIterator[DockerBackend]:
    backend = DockerBackend(str(home), environ={**os.environ, **environ})
    try:
        yield backend
    finally:
        async for found in backend.discover():
            await backend.discard(found.handle)
        await backend.close()


async def said(backend: DockerBackend, home: Path, image: str, index: int) -> bytes:
    """What a task of this image prints."""
    template = LaunchTemplate(
        execution="e-1", execution_name="job-abcde", job_name="job", project="local",
        region="us-central1", image=image,
    )  # fmt: skip
    spec = LaunchSpec(AttemptKey("e-1", index, 0), template, 1, log=f"{home}/logs/{index}.0")
    launched = await asyncio.wait_for(backend.launch(spec), PATIENCE)
    await asyncio.wait_for(backend.wait(launched.handle), PATIENCE)
    return output(spec)


async def test_a_missing_image_is_pulled_with_progress_and_pinned_for_good(
    client: Any, busybox_image: str, registry: str, home: Path
) -> None:
    name = f"{registry}/app/pinned:v1"
    first = publish(client, busybox_image, name, word="first")
    lines: list[str] = []
    async with opened(home) as backend:
        pinned = await asyncio.wait_for(backend.prepare(name, lines.append), PATIENCE)
        await asyncio.sleep(0)
        assert pinned == f"{registry}/app/pinned@{first}"
        assert lines[0] == f"Pulling {name}"
        assert await said(backend, home, pinned, 0) == b"first\n"

        # The tag moves in the middle of the execution, here and in the registry.
        second = publish(client, busybox_image, name, word="second")
        client.pull(*name.rsplit(":", 1))
        assert second != first
        assert await said(backend, home, name, 1) == b"second\n"
        assert await said(backend, home, pinned, 2) == b"first\n"
        assert await backend.prepare(pinned, lines.append) == pinned
        fresh = await backend.prepare(name, lines.append)
        assert fresh == f"{registry}/app/pinned@{second}"


async def test_a_pinned_image_that_was_removed_meanwhile_is_fetched_again(
    client: Any, busybox_image: str, registry: str, home: Path
) -> None:
    name = f"{registry}/app/removed:v1"
    publish(client, busybox_image, name, word="back")
    async with opened(home) as backend:
        pinned = await asyncio.wait_for(backend.prepare(name, print), PATIENCE)
        assert pinned is not None
        client.remove_image(name, force=True)
        assert client.images(name=f"{registry}/app/removed") == []
        assert await said(backend, home, pinned, 0) == b"back\n"


async def test_asked_twice_at_once_an_image_is_pulled_once(
    client: Any, busybox_image: str, registry: str, home: Path
) -> None:
    name = f"{registry}/app/twice:v1"
    digest = publish(client, busybox_image, name, word="x")
    lines: list[str] = []
    async with opened(home) as backend:
        both = await asyncio.gather(*(backend.prepare(name, lines.append) for _ in range(2)))
        await asyncio.sleep(0)
    assert both == [f"{registry}/app/twice@{digest}"] * 2
    assert lines.count(f"Pulling {name}") == 1


@pytest.mark.parametrize("name", ["app/nowhere:v1", "app/nowhere@sha256:" + "0" * 64])
async def test_an_image_that_is_not_there_says_so(
    docker_socket: str, registry: str, home: Path, name: str
) -> None:
    async with opened(home) as backend:
        with pytest.raises(LaunchFailed) as failed:
            await asyncio.wait_for(backend.prepare(f"{registry}/{name}", print), PATIENCE)
    assert failed.value.permanent
    assert failed.value.reason == "ContainerMissing"
    assert failed.value.message.startswith(f"Image '{registry}/{name}' not found. The engine says:")


async def test_a_registry_that_does_not_answer_is_no_fault_of_the_image(
    docker_socket: str, home: Path
) -> None:
    async with opened(home) as backend:
        with pytest.raises(LaunchFailed) as failed:
            await asyncio.wait_for(backend.prepare("127.0.0.1:9/app:v1", print), PATIENCE)
    assert not failed.value.permanent
    assert failed.value.reason == "ContainerImportFailed"


@contextmanager
def guarded(upstream: str, user: str, password: str) -> Iterator[str]:
    """A registry that wants a log-in, in front of one that does not."""
    import http.client

    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Guard(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != wanted:
                body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="guard"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                return
            connection = http.client.HTTPConnection(upstream)
            headers = {k: v for k, v in self.headers.items() if k not in ("Authorization", "Host")}
            connection.request(self.command, self.path, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("date", "connection", "transfer-encoding"):
                    self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_the_users_docker_log_in_is_used_and_without_it_the_reason_is_told(
    client: Any, busybox_image: str, registry: str, home: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish(client, busybox_image, f"{registry}/app/closed:v1", word="in")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with guarded(registry, "me", "pass") as address:
        REGISTRIES.add(address)
        name = f"{address}/app/closed:v1"
        async with opened(home) as backend:
            with pytest.raises(LaunchFailed) as failed:
                await asyncio.wait_for(backend.prepare(name, print), PATIENCE)
            assert failed.value.reason == "ContainerPermissionDenied"
            assert failed.value.permanent
            assert "docker login" in (failed.value.hint or "")
            auth = base64.b64encode(b"me:pass").decode()
            config = {"auths": {address: {"auth": auth}}}
            (tmp_path / "config.json").write_text(json.dumps(config))
            pinned = await asyncio.wait_for(backend.prepare(name, print), PATIENCE)
            assert pinned is not None
            assert await said(backend, home, pinned, 0) == b"in\n"
