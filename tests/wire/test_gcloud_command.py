"""``jobrunner gcloud`` hands over to gcloud: settings, words, exit code, and what it refuses."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.cli.main import main
from jobrunner.lib import serverfile
from jobrunner.lib.identity import runner_name

SAYS = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "word $word"; done
env | grep -E '^(CLOUDSDK|JOBRUNNER|KEEP)' | sort
exit 7
"""


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of something that can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """A directory with a gcloud that says how it was called."""
    program = tmp_path / "bin" / "gcloud"
    program.parent.mkdir()
    program.write_text(SAYS)
    program.chmod(0o755)
    return program.parent


def call(home: Path, bin_dir: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    base = {"PATH": f"{bin_dir}:/usr/bin:/bin", "JOBRUNNER_HOME": str(home), "HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "jobrunner.cli.main", "gcloud", *words],
        env={**base, **env}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def open_server(home: Path, port: int, key: str = "the-key") -> None:
    home.mkdir(exist_ok=True)
    endpoint, who = f"http://127.0.0.1:{port}", runner_name("test")
    entry = serverfile.ServerFile(endpoint, os.getpid(), who, "1", key)
    serverfile.write(str(home), entry)


def said(run: subprocess.CompletedProcess[str]) -> dict[str, str]:
    lines = [line for line in run.stdout.splitlines() if not line.startswith("word ")]
    return dict(line.split("=", 1) for line in lines)


def words_of(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [line[5:] for line in run.stdout.splitlines() if line.startswith("word ")]


def test_gcloud_takes_the_place_of_the_command(home: Path, bin_dir: Path, listening: int) -> None:
    open_server(home, listening)
    words = ("--quiet", "run", "jobs", "create", "a", "--region=x", "--args=-c,e", "--", "-h", "")
    run = call(home, bin_dir, *words)
    assert (run.returncode, words_of(run), run.stderr) == (7, list(words), "")


def test_every_request_goes_to_the_server(home: Path, bin_dir: Path, listening: int) -> None:
    open_server(home, listening)
    env = said(call(home, bin_dir, "run", "jobs", "list", JOBRUNNER_PROJECT="p"))
    assert env["CLOUDSDK_PROXY_TYPE"] == "http"
    assert env["CLOUDSDK_PROXY_ADDRESS"] == "127.0.0.1"
    assert env["CLOUDSDK_PROXY_PORT"] == str(listening)
    overrides = {name: url for name, url in env.items() if "ENDPOINT_OVERRIDES" in name}
    assert overrides.pop("CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN") == (
        f"http://run.localhost:{listening}/"
    )
    assert overrides.pop("CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB") == (
        f"http://pubsub.localhost:{listening}/"
    )
    assert set(overrides.values()) == {f"http://localhost:{listening}/"}
    assert env["CLOUDSDK_CORE_PROJECT"] == "p"
    assert env["CLOUDSDK_RUN_REGION"] == "us-central1"


def test_the_configuration_of_the_user_has_no_say(
    home: Path, bin_dir: Path, listening: int
) -> None:
    open_server(home, listening)
    env = said(
        call(
            home, bin_dir, "info",
            CLOUDSDK_CONFIG="/home/me/.config/gcloud", CLOUDSDK_CORE_PROJECT="production",
            CLOUDSDK_CORE_ACCOUNT="me@example.com", CLOUDSDK_AUTH_ACCESS_TOKEN="real",
            CLOUDSDK_PYTHON="python3", CLOUDSDK_CORE_DISABLE_PROMPTS="1", KEEP="yes",
        )
    )  # fmt: skip
    assert env["CLOUDSDK_CONFIG"] == str(home / "gcloud")
    assert env["CLOUDSDK_CORE_PROJECT"] == "local"
    assert "CLOUDSDK_CORE_ACCOUNT" not in env
    assert "CLOUDSDK_AUTH_ACCESS_TOKEN" not in env
    assert env["CLOUDSDK_PYTHON"] == "python3"
    assert env["CLOUDSDK_CORE_DISABLE_PROMPTS"] == "1"
    assert env["KEEP"] == "yes"


def test_the_token_is_in_a_file_of_the_owner_and_nowhere_else(
    home: Path, bin_dir: Path, listening: int
) -> None:
    open_server(home, listening, key="the-key")
    run = call(home, bin_dir, "run", "jobs", "list", JOBRUNNER_TOKEN="mine")
    file = Path(said(run)["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"])
    assert file.read_text() == "the-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "the-key" not in run.stdout
    assert "mine" not in run.stdout


def test_a_shell_that_was_pointed_here_outlives_the_server(
    home: Path, bin_dir: Path, listening: int
) -> None:
    open_server(home, listening, key="the-key")
    file = Path(said(call(home, bin_dir, "info"))["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"])
    open_server(home, listening, key="the-next-key")
    assert file.read_text() == "the-next-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_other_server_is_shown_the_key_of_this_homes(
    home: Path, bin_dir: Path, listening: int
) -> None:
    elsewhere = {"JOBRUNNER_ENDPOINT": f"http://127.0.0.1:{listening}", "JOBRUNNER_TOKEN": "mine"}
    file = Path(said(call(home, bin_dir, "info", **elsewhere))["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"])
    open_server(home, listening, key="the-key")
    assert file.read_text() == "mine"


def test_a_named_server_gets_the_token_of_the_environment(
    home: Path, bin_dir: Path, listening: int
) -> None:
    endpoint = f"http://127.0.0.1:{listening}"
    with_token = said(
        call(home, bin_dir, "info", JOBRUNNER_ENDPOINT=endpoint, JOBRUNNER_TOKEN="mine")
    )
    assert Path(with_token["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]).read_text() == "mine"
    without = said(call(home, bin_dir, "info", JOBRUNNER_ENDPOINT=endpoint))
    assert "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE" not in without
    assert without["CLOUDSDK_AUTH_DISABLE_CREDENTIALS"] == "true"


def test_a_server_with_tls_is_asked_by_its_own_name(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(home))
    monkeypatch.setenv("JOBRUNNER_ENDPOINT", "https://jobs.example.com:8686")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/own-ca.pem")
    assert main(["gcloud", "--print-env", "json"]) == 0
    env = json.loads(capsys.readouterr().out)
    assert env["CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"] == "https://jobs.example.com:8686/"
    assert env["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"] == "/etc/own-ca.pem"
    assert env["REQUESTS_CA_BUNDLE"] == "/etc/own-ca.pem"
    assert "CLOUDSDK_PROXY_TYPE" not in env


@pytest.mark.parametrize(
    ("words", "env", "code", "error"),
    [
        (["info"], {}, 4, "No server runs on the home"),
        (["info"], {"JOBRUNNER_ENDPOINT": "http://127.0.0.1:9"}, 4, "No server answers at"),
        (["info"], {"JOBRUNNER_ENDPOINT": "https://127.0.0.1:9"}, 4, "cannot have a region in"),
        (["info"], {"JOBRUNNER_ENDPOINT": "localhost:9"}, 2, "http://HOST:PORT"),
        ([], {"JOBRUNNER_ENDPOINT": "http://127.0.0.1:9"}, 2, "There is nothing to run"),
        (["--print-env=xml"], {"JOBRUNNER_ENDPOINT": "http://127.0.0.1:9"}, 2, "--print-env"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    home: Path, bin_dir: Path, words: list[str], env: dict[str, str], code: int, error: str
) -> None:
    run = call(home, bin_dir, *words, **env)
    assert (run.returncode, run.stdout) == (code, "")
    assert error in run.stderr


def test_without_gcloud_it_says_how_to_get_it(home: Path, listening: int, tmp_path: Path) -> None:
    open_server(home, listening)
    run = call(home, tmp_path, "info", PATH=str(tmp_path))
    assert run.returncode == 4
    assert "There is no gcloud on this machine's PATH.\nHint: Install" in run.stderr


def test_a_shell_can_take_the_settings_over(home: Path, bin_dir: Path, listening: int) -> None:
    open_server(home, listening)
    run = call(home, bin_dir, "--print-env", CLOUDSDK_CORE_ACCOUNT="me@example.com")
    assert run.returncode == 0
    script = f"{run.stdout}\ngcloud run jobs list"
    shell = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{bin_dir}:/usr/bin:/bin", "CLOUDSDK_CORE_ACCOUNT": "me@example.com"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said(shell)["CLOUDSDK_CONFIG"] == str(home / "gcloud")
    assert "CLOUDSDK_CORE_ACCOUNT" not in said(shell)


def test_ci_can_take_the_settings_over(home: Path, bin_dir: Path, listening: int) -> None:
    open_server(home, listening)
    run = call(home, bin_dir, "--print-env=github")
    lines = run.stdout.splitlines()
    assert f"CLOUDSDK_PROXY_PORT={listening}" in lines
    assert all("=" in line and not line.startswith("export") for line in lines)
