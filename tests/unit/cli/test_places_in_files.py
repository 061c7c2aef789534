"""Errors of ``jobrunner apply`` name file and line of what they are about."""

from pathlib import Path

import pytest

from jobrunner.cli.main import main

JOB = """\
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: a
spec:
  template:
    spec:
      template:
        spec:
          maxRetries: 99
          containers:
          - image: x
            command: [5]
"""
SCHEDULE = """\
# Often.
apiVersion: jobrunner.dev/v1
kind: Schedule
metadata: {name: s}
spec:
  httpTarget: {uri: "http://x/"}
  schedule: "99 * * * *"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (JOB, ["10: spec.template.spec.template.spec.maxRetries: 99"]),
        (JOB, ["13: spec.template.spec.template.spec.containers[0].command[0]: "]),
        (SCHEDULE, ["7: schedule: minute '99'"]),
        (f"{JOB}---\n{SCHEDULE}", ["10: spec.", "21: schedule: "]),
        ("apiVersion: v1\nkind: Pod\n", ["2: kind: Pod (v1) cannot be applied"]),
        ("apiVersion: run.googleapis.com/v1\nkind: Job\n", ["1: metadata"]),
    ],
)
def test_an_error_names_the_file_and_the_line_of_its_field(
    text: str, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(text)
    assert main(["apply", "-f", str(file)]) == 2
    said = capsys.readouterr().err
    for line in lines:
        assert f"{file}:{line}" in said
