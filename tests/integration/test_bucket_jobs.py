"""A file in a watched directory starts a job, through a real server that is killed on the way."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.commands import jobrunner
from tests.support.served import Served, answering, served, start
from tests.support.waiting import until
from triggers.service.crashpoints import BUCKET_POINTS

DOCUMENT = """\
apiVersion: jobrunner.dev/v1
kind: Buckets
spec:
  photos: {directory}
---
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: thumbnail
  annotations: {{jobrunner.dev/backend: process}}
spec:
  template:
    spec:
      template:
        spec:
          maxRetries: 0
          containers:
            - command: [sh, -c, 'cp "$FROM/$NAME" "$TO/$NAME.$CE_ID"']
              env: [{{name: FROM, value: {directory}}}, {{name: TO, value: {made}}}]
---
apiVersion: jobrunner.dev/v1
kind: EventTrigger
metadata:
  name: thumbnails
spec:
  eventFilters:
    - {{attribute: type, value: google.cloud.storage.object.v1.finalized}}
    - {{attribute: bucket, value: photos}}
  destination:
    cloudRun:
      job: thumbnail
      env:
        NAME: "{{{{ data.name }}}}"
"""


def ends(server: Served, count: int) -> bool:
    found = server.executions("thumbnail")
    return len(found) >= count and all("completionTime" in one for one in found)


@pytest.mark.parametrize("point", BUCKET_POINTS)
def test_a_file_runs_its_job_once_though_the_server_is_killed(tmp_path: Path, point: str) -> None:
    home, photos, made = tmp_path / "home", tmp_path / "photos", tmp_path / "made"
    photos.mkdir()
    made.mkdir()
    env = {**os.environ, "JOBRUNNER_HOME": str(home)}
    document = tmp_path / "photos.yaml"
    document.write_text(DOCUMENT.format(directory=photos, made=made))
    done = jobrunner("apply", "-f", str(document), env=env)
    assert done.returncode == 0, done.stderr
    assert "Bucket 'photos' created." in done.stdout
    # Written after the directory became a bucket, and before anybody watched it.
    (photos / "early Ü.jpg").write_text("1")
    dying = start(home, "--backend", "process", env={"JOBRUNNER_CRASH_AT": point})
    if answering(dying):
        dying.process.wait(60)
    assert dying.process.returncode == -signal.SIGKILL
    with served(home, "--backend", "process") as server:
        until(lambda: ends(server, 1))
        (photos / "late.jpg").write_text("2")
        until(lambda: ends(server, 2))
        found = server.executions("thumbnail")
        assert [one["succeededCount"] for one in found] == [1, 1]
    assert sorted(one.name.split(".jpg")[0] for one in made.iterdir()) == ["early Ü", "late"]


def test_buckets_are_added_listed_and_removed(tmp_path: Path) -> None:
    env = {**os.environ, "JOBRUNNER_HOME": str(tmp_path / "home")}
    (tmp_path / "in").mkdir()
    added = jobrunner("buckets", "add", "incoming", "in", env=env, cwd=tmp_path)
    assert (added.returncode, added.stdout) == (0, "")
    assert f"Bucket 'incoming' is {tmp_path}/in." in added.stderr
    [one] = json.loads(jobrunner("buckets", "list", "--format", "json", env=env).stdout)
    assert (one["name"], one["directory"]) == ("incoming", f"{tmp_path}/in")
    refused = jobrunner("buckets", "add", "incoming", "nowhere", env=env, cwd=tmp_path)
    assert refused.returncode != 0
    assert "make it first" in refused.stderr
    assert jobrunner("buckets", "remove", "other", env=env).returncode == 3
    assert jobrunner("buckets", "remove", "incoming", env=env).returncode == 0
    assert "No buckets." in jobrunner("buckets", "list", env=env).stderr
