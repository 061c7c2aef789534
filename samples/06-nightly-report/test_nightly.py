"""A report that fails for good is told of, one that succeeds in the end is not."""

from pathlib import Path

import pytest
import yaml

from jobrunner.testing import Runner

PIPELINE = Path(__file__).with_name("nightly.yaml")


@pytest.mark.jobrunner(begin="2030-01-01T12:00:00Z")
def test_only_what_failed_for_good_is_told(jobrunner_runner: Runner) -> None:
    runner, job, *rest = jobrunner_runner, *yaml.safe_load_all(PIPELINE.read_text())
    sink = runner.sink()
    services = {"apiVersion": "jobrunner.dev/v1", "kind": "Services", "spec": {"notices": sink.url}}
    container = job["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]

    container["env"] = [{"name": "JOBRUNNER_SCRIPT", "value": "exit 1 after 5m; exit 0 after 5m"}]
    runner.apply(services, job, *rest)
    runner.advance("1d")
    runner.expect_executions(1, job="report", state="SUCCEEDED")
    assert sink.requests == []

    container["env"][0]["value"] = "exit 1 after 5m"
    runner.apply(job)
    runner.advance("1d")
    runner.expect_executions(1, job="report", state="FAILED")
    assert [request.path for request in sink.requests] == ["/failed"]
