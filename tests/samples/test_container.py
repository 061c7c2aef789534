from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.samples.record import describe, endings
from tests.samples.transcript import alone, play
from tests.support.components import require

IMAGE = "jobrunner-sample/greeter:1"


@pytest.fixture
def engine(docker_socket: str) -> Iterator[docker.DockerClient]:
    require("busybox")
    client = docker.DockerClient(base_url=f"unix://{docker_socket}")
    with alone("image"):
        yield client
        client.images.remove(IMAGE, force=True)
    client.close()


def test_container_runs_as_its_readme_says(copy: Path, engine: docker.DockerClient) -> None:
    played = play(copy / "samples/04-container/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
    stored, overridden = played[-1].names
    assert endings(stored) == {index: [("SUCCEEDED", 0)] for index in range(3)}
    assert endings(overridden) == {0: [("SUCCEEDED", 0)]}
    record = describe(stored)
    assert record["backend"] == "docker"
    assert record["imageDigest"] == engine.images.get(IMAGE).id
    left = engine.containers.list(all=True, filters={"ancestor": IMAGE})
    assert left == []
