import json
from pathlib import Path

import pytest

from jobrunner.backends._docker.endpoint import BadEndpoint, Endpoint, find_endpoint
from jobrunner.backends._docker.engine import agreed_version
from jobrunner.backends._docker.wire import BadAnswer


def test_the_usual_socket_is_the_default(tmp_path: Path) -> None:
    found = find_endpoint({"DOCKER_CONFIG": str(tmp_path)})
    assert found == Endpoint("unix:///var/run/docker.sock", socket="/var/run/docker.sock")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("unix:///run/x.sock", Endpoint("unix:///run/x.sock", socket="/run/x.sock")),
        ("tcp://127.0.0.1:2375", Endpoint("tcp://127.0.0.1:2375", host="127.0.0.1", port=2375)),
        ("tcp://build", Endpoint("tcp://build", host="build", port=2375)),
        ("tcp://[::1]:99", Endpoint("tcp://[::1]:99", host="::1", port=99)),
        ("http://build:1", Endpoint("tcp://build:1", host="build", port=1)),
    ],
)
def test_an_address_of_a_supported_form(host: str, expected: Endpoint) -> None:
    assert find_endpoint({"DOCKER_HOST": host}) == expected


@pytest.mark.parametrize(
    "host",
    ["ssh://me@build", "npipe:////./pipe/docker", "unix://x", "tcp://", "tcp://a:b", "fd://",
     "/run/docker.sock", "https://build:2376", "tcp://a:1/path"],
)  # fmt: skip
def test_other_forms_are_refused_by_name(host: str) -> None:
    with pytest.raises(BadEndpoint) as refused:
        find_endpoint({"DOCKER_HOST": host})
    assert refused.value.message == (
        f"DOCKER_HOST: '{host}' is not supported; use unix:///PATH and tcp://HOST:PORT "
        "(without TLS)."
    )


def test_an_ssh_address_is_told_how_to_get_there() -> None:
    with pytest.raises(BadEndpoint) as refused:
        find_endpoint({"DOCKER_HOST": "ssh://me@build"})
    assert refused.value.hint is not None
    assert "ssh -L /tmp/docker.sock:/var/run/docker.sock me@build" in refused.value.hint


def test_tls_is_refused_by_name() -> None:
    with pytest.raises(BadEndpoint, match="asks for TLS"):
        find_endpoint({"DOCKER_HOST": "tcp://build:2376", "DOCKER_TLS_VERIFY": "1"})


def test_a_spoilt_configuration_is_no_context(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[")
    assert find_endpoint({"DOCKER_CONFIG": str(tmp_path)}).socket == "/var/run/docker.sock"


def test_the_users_current_context_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from docker.context import Context

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "rootless"}))
    Context("rootless", host="unix:///run/user/7/docker.sock").save()
    found = find_endpoint({"DOCKER_CONFIG": str(tmp_path)})
    assert found.socket == "/run/user/7/docker.sock"
    chosen = find_endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "default"})
    assert chosen.socket == "/var/run/docker.sock"


def test_a_context_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(BadEndpoint, match="Docker context 'nowhere'"):
        find_endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"})


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.50", "1.24", "1.41"),
        ("1.52", "1.44", "1.44"),
        ("1.40", None, "1.40"),
    ],
)
def test_the_version_spoken_is_one_that_both_know(
    newest: str, oldest: str | None, spoken: str
) -> None:
    assert agreed_version({"ApiVersion": newest, "MinAPIVersion": oldest}) == spoken


@pytest.mark.parametrize("answer", [{}, {"ApiVersion": "x"}, {"ApiVersion": 1}, None])
def test_what_names_no_version_is_no_engine(answer: dict[str, str]) -> None:
    with pytest.raises(BadAnswer, match="not a container engine"):
        agreed_version(answer)
