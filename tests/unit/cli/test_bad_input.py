"""Bad input, each with its exact message and exit code. What is printed is part of the contract: it
names what was given, and what is allowed."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.cli.main import main

JOB = """\
apiVersion: run.googleapis.com/v1
kind: Job
metadata: {name: NAME}
spec: {template: {spec: {taskCount: COUNT, template: {spec: {MORE containers: [CONTAINER]}}}}}
"""


def job(
    name: str = "j", count: str = "1", more: str = "", container: str = "{command: ['true']}"
) -> str:
    text = JOB.replace("NAME", name).replace("COUNT", count)
    return text.replace("MORE", more).replace("CONTAINER", container)


FILES = {
    "bad.yaml": "a: [1\n",
    "list.yaml": "- 1\n",
    "service.yaml": "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n",
    "nokind.yaml": "metadata: {name: x}\n",
    "twice.yaml": "kind: Job\nkind: Job\n",
    "number.yaml": "PORT: 80\n",
    "bad.env": "A=1\nnonsense\n",
    "count.yaml": job(count="0"),
    "name.yaml": job(name="Bad_Name"),
    "gpu.yaml": job(container="{image: i, resources: {limits: {nvidia.com/gpu: '1'}}}"),
    "retries.yaml": job(more="maxRetries: 11,"),
    "timeout.yaml": job(more="timeoutSeconds: '0',"),
    "env.yaml": job(container="{command: ['true'], env: [{name: CLOUD_RUN_JOB, value: x}]}"),
    "typo.yaml": job(more="maxRetrys: 1,"),
    "sidecar.yaml": job(container="{name: a, image: i}, {name: b, image: i}"),
    "probe.yaml": job(container="{image: i, startupProbe: {tcpSocket: {port: 1}}}"),
    "text.yaml": job(count="'many'"),
    "bucket.yaml": job(
        more="volumes: [{name: b, csi: {driver: gcsfuse.run.googleapis.com,"
        " volumeAttributes: {bucketName: x}}}],",
        container="{image: i, volumeMounts: [{name: b, mountPath: /b}]}",
    ),
    "mem.yaml": job(container="{image: i, resources: {limits: {memory: lots}}}"),
    "two.yaml": job(count="0") + "---\n" + job(more="maxRetries: 11,"),
    "same.yaml": job() + "---\n" + job(),
}

Row = tuple[list[str], int, str]


def table() -> list[Row]:
    """``bad_input.txt``: after ``$`` the words, then the exit code, then standard error."""
    text = Path(__file__).with_name("bad_input.txt").read_text()
    rows: list[Row] = []
    for block in text.rstrip("\n").split("\n\n"):
        words, code, message = block.split("\n", 2)
        rows.append((shlex.split(words.removeprefix("$ ")), int(code), message + "\n"))
    return rows


TABLE = table()
IDS = [shlex.join(words) for words, _, _ in TABLE]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the job ``there``, and a working directory with files that are wrong."""
    directory = tmp_path_factory.mktemp("bad")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    (directory / "empty").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(directory / "home"))
        patch.chdir(directory)
        assert main(["jobs", "create", "there", "--command", "true"]) == 0
        yield directory


@pytest.mark.parametrize(("words", "code", "message"), TABLE, ids=IDS)
def test_bad_input_is_answered_with_one_clear_message(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(words) == code
    assert capsys.readouterr() == ("", message)


def test_the_table_is_as_long_as_was_promised() -> None:
    assert len(TABLE) >= 60
    assert {code for _, code, _ in TABLE} == {2, 3, 4}


@pytest.mark.parametrize(("words", "code", "message"), TABLE[:: len(TABLE) // 6])
def test_a_real_process_answers_the_same(
    words: list[str], code: int, message: str, place: Path
) -> None:
    command = [sys.executable, "-m", "jobrunner.cli.main", *words]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", message)


def test_what_was_refused_has_left_nothing_behind(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["there"]
