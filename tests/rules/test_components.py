"""The fixtures over real components work, and a missing component cannot hide."""

import http.client
import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.support import components
from tests.support.components import demanded, require


def test_a_missing_component_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "missing", lambda name: f"no {name} today")
    monkeypatch.delenv("JOBRUNNER_TEST_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no docker today"):
        require("docker")


@pytest.mark.parametrize("setting", ["all", "docker", "postgres, docker"])
def test_a_missing_component_that_is_demanded_fails_the_test(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "missing", lambda name: f"no {name} today")
    monkeypatch.setenv("JOBRUNNER_TEST_REQUIRE", setting)
    with pytest.raises(pytest.fail.Exception, match="docker is required here: no docker today"):
        require("docker")


def test_a_setting_with_a_typing_error_is_refused() -> None:
    with pytest.raises(ValueError, match="dokcer"):
        demanded("docker", "dokcer")


def test_the_home_of_a_test_is_empty_and_short(home: Path) -> None:
    assert list(home.iterdir()) == []
    assert len(str(home)) < 30


def test_each_test_gets_an_empty_database(fresh_postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(fresh_postgres_url) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchone()
    assert tables == (0,)


def test_the_image_has_a_shell_and_the_registry_takes_it(
    docker_socket: str, busybox_image: str, registry: str
) -> None:
    def docker(*words: str) -> str:
        command = ["docker", "--host", f"unix://{docker_socket}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert docker("run", "--rm", busybox_image, "sh", "-c", "echo $((40 + 2))") == "42\n"
    pushed = f"{registry}/busybox:test"
    docker("tag", busybox_image, pushed)
    try:
        docker("push", "--quiet", pushed)
    finally:
        docker("rmi", "--no-prune", pushed)
    with urllib.request.urlopen(f"http://{registry}/v2/busybox/tags/list") as answer:
        assert isinstance(answer, http.client.HTTPResponse)
        assert json.load(answer)["tags"] == ["test"]
