"""Jobs, executions and tasks from the command line, with real processes."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
import yaml

from tests.support.commands import (
    alive,
    document,
    jobrunner,
    line_of,
    only_execution,
    started,
)

pytestmark = pytest.mark.usefixtures("way")


def ok(*words: str, **more: object) -> str:
    run = jobrunner(*words, **more)
    assert run.returncode == 0, run.stderr
    return run.stdout


def container(name: str) -> dict[str, object]:
    found = document("jobs", "describe", name)["spec"]["template"]["spec"]["template"]["spec"]
    return dict(found["containers"][0])


def test_gclouds_flags_become_the_fields_of_the_document() -> None:
    ok(
        "jobs", "create", "j", "--image", "thumbs:1", "--command", "sh", "--args=-c,exit 0",
        "--tasks", "5", "--parallelism", "2", "--max-retries", "0", "--task-timeout", "10m5s",
        "--set-env-vars", "^;^A=1,2;B=x=y", "--set-secrets", "KEY=api-key:latest",
        "--set-secrets", "/run/creds/db=db-creds:3", "--cpu", "2", "--memory", "1Gi",
        "--service-account", "me@example.com", "--labels", "team=data", "--workdir", "/app",
        "--add-volume", "name=scratch,type=in-memory,size-limit=64Mi",
        "--add-volume-mount", "volume=scratch,mount-path=/scratch",
        "--fail-fast", "--retry-backoff", "1s", "--grace-period", "30s", "--backend", "docker",
    )  # fmt: skip
    found = document("jobs", "describe", "j")
    assert found["metadata"]["labels"]["team"] == "data"
    outer = found["spec"]["template"]
    assert outer["metadata"]["labels"] == {"team": "data"}
    assert outer["metadata"]["annotations"] == {
        "jobrunner.dev/fail-fast": "true",
        "jobrunner.dev/retry-backoff": "1s",
        "jobrunner.dev/grace-period": "30s",
        "jobrunner.dev/backend": "docker",
    }
    assert (outer["spec"]["taskCount"], outer["spec"]["parallelism"]) == (5, 2)
    inner = outer["spec"]["template"]["spec"]
    assert (inner["maxRetries"], inner["timeoutSeconds"]) == (0, "605")
    assert inner["serviceAccountName"] == "me@example.com"
    one = inner["containers"][0]
    assert (one["image"], one["command"], one["args"]) == ("thumbs:1", ["sh"], ["-c", "exit 0"])
    assert one["workingDir"] == "/app"
    assert one["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert one["env"] == [
        {"name": "A", "value": "1,2"},
        {"name": "B", "value": "x=y"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api-key", "key": "latest"}}},
    ]
    assert {m["mountPath"] for m in one["volumeMounts"]} == {"/run/creds", "/scratch"}
    assert {tuple(sorted(v)) for v in inner["volumes"]} == {
        ("name", "secret"), ("emptyDir", "name"),
    }  # fmt: skip


def test_an_update_changes_what_its_flags_name_and_nothing_else() -> None:
    ok("jobs", "create", "j", "--image", "i:1", "--set-env-vars", "A=1,B=2", "--tasks", "3",
       "--labels", "a=1,b=2", "--set-secrets", "/run/creds/db=db:1,KEY=k:1")  # fmt: skip
    before = document("jobs", "describe", "j")
    ok("jobs", "update", "j", "--update-env-vars", "B=3,C=4", "--remove-env-vars", "A",
       "--remove-labels", "a", "--remove-secrets", "/run/creds/db")  # fmt: skip
    after = document("jobs", "describe", "j")
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert container("j")["env"] == [
        {"name": "B", "value": "3"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "k", "key": "1"}}},
        {"name": "C", "value": "4"},
    ]
    assert after["spec"]["template"]["metadata"]["labels"] == {"b": "2"}
    assert after["spec"]["template"]["spec"]["taskCount"] == 3
    inner = after["spec"]["template"]["spec"]["template"]["spec"]
    assert "volumes" not in inner
    assert "volumeMounts" not in inner["containers"][0]
    ok("jobs", "update", "j", "--clear-env-vars", "--clear-secrets", "--clear-labels", "--args=")
    assert "env" not in container("j")
    run = jobrunner("jobs", "update", "j", "--tasks", "3")
    assert "Nothing changed in job 'j'." in run.stderr


def test_deploy_creates_and_then_changes() -> None:
    assert "created" in jobrunner("jobs", "deploy", "j", "--command", "true").stderr
    assert "configured" in jobrunner("jobs", "deploy", "j", "--tasks", "2").stderr
    assert document("jobs", "describe", "j")["spec"]["template"]["spec"]["taskCount"] == 2


def test_an_execution_is_driven_to_its_end_and_its_name_is_on_standard_output() -> None:
    ok("jobs", "create", "j", "--command", "sh", "--args", "-c,echo $MODE of $CLOUD_RUN_TASK_COUNT",
       "--set-env-vars", "MODE=full")  # fmt: skip
    name = ok("jobs", "execute", "j").strip()
    assert re.fullmatch(r"j-[a-z0-9]{5}", name)
    assert ok("executions", "logs", name) == "full of 1\n"
    other = ok(
        "jobs", "execute", "j", "--tasks", "2", "--update-env-vars", "MODE=quick", "--wait"
    ).strip()
    assert sorted(ok("executions", "logs", other).splitlines()) == [
        "[0] quick of 2", "[1] quick of 2",
    ]  # fmt: skip
    assert container("j")["env"] == [{"name": "MODE", "value": "full"}]
    listed = [row["name"] for row in document("executions", "list", "--job", "j")]
    assert listed == [other, name]


def test_an_execution_that_fails_makes_the_exit_code_one() -> None:
    ok("jobs", "create", "j", "--command", "false", "--max-retries", "0")
    run = jobrunner("jobs", "execute", "j", "--quiet")
    assert run.returncode == 1
    assert "task 0 failed: exit code 1, 1 attempt" in run.stderr
    assert document("jobs", "list")[0]["status"]["executionCount"] == 1


def test_the_same_idempotency_key_opens_one_execution() -> None:
    ok("jobs", "create", "j", "--command", "true")
    names = {ok("jobs", "execute", "j", "--idempotency-key", "k").strip() for _ in range(2)}
    assert len(names) == 1


def test_what_export_prints_apply_takes_back_unchanged(tmp_path: Path) -> None:
    ok("jobs", "create", "j", "--image", "thumbs:1", "--tasks", "2", "--fail-fast")
    exported = ok("jobs", "export", "j")
    assert yaml.safe_load(exported) == json.loads(ok("jobs", "export", "j", "--format", "json"))
    assert ok("apply", "-f", "-", input=exported, stdin=None) == "Job 'j' unchanged.\n"
    (tmp_path / "job.yaml").write_text(exported.replace("name: j\n", "name: copy\n"))
    assert ok("jobs", "replace", str(tmp_path / "job.yaml")) == "Job 'copy' created.\n"


def test_exporting_a_job_without_an_image_warns() -> None:
    ok("jobs", "create", "j", "--command", "true")
    assert "has no image: Cloud Run needs one" in jobrunner("jobs", "export", "j").stderr


def test_a_dry_run_shows_the_change_and_makes_none(tmp_path: Path) -> None:
    ok("jobs", "create", "j", "--command", "true", "--tasks", "2")
    text = ok("jobs", "export", "j")
    path = tmp_path / "jobs.yaml"
    changed = text.replace("taskCount: 2", "taskCount: 4")
    path.write_text(changed + "---\n" + text.replace("name: j\n", "name: new\n"))
    shown = ok("apply", "-f", str(path), "--dry-run")
    assert "Job 'j' configured (dry run).\n" in shown
    assert "-      taskCount: 2\n+      taskCount: 4\n" in shown
    assert "Job 'new' created (dry run).\n--- /dev/null\n" in shown
    assert [job["metadata"]["name"] for job in document("jobs", "list")] == ["j"]
    assert ok("jobs", "export", "j") == text


def test_one_bad_document_keeps_all_others_from_being_written(tmp_path: Path) -> None:
    ok("jobs", "create", "j", "--command", "true")
    text = ok("jobs", "export", "j")
    (tmp_path / "a.yaml").write_text(text.replace("name: j\n", "name: good\n"))
    (tmp_path / "b.yaml").write_text(text.replace("maxRetries: 3", "maxRetries: 99"))
    run = jobrunner("apply", "-f", str(tmp_path))
    assert run.returncode == 2
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "maxRetries" in line)
    assert f"b.yaml:{line}: spec.template.spec.template.spec.maxRetries: 99" in run.stderr
    assert [job["metadata"]["name"] for job in document("jobs", "list")] == ["j"]


def test_output_is_read_by_task_attempt_and_stream() -> None:
    script = "echo out $CLOUD_RUN_TASK_INDEX.$CLOUD_RUN_TASK_ATTEMPT; echo err >&2; exit 1"
    ok("jobs", "create", "j", "--command", "sh", "--args", f"^|^-c|{script}", "--tasks", "2",
       "--max-retries", "1")  # fmt: skip
    name = jobrunner("jobs", "execute", "j").stdout.strip()
    logs = ("executions", "logs", name)
    assert ok(*logs, "--index", "1", "--attempt", "1", "--stream", "stdout") == "out 1.1\n"
    assert ok("tasks", "logs", f"{name}-task0", "--attempt", "0") == "out 0.0\nerr\n"
    assert len(ok(*logs).splitlines()) == 8
    assert len(ok(*logs, "--tail", "3").splitlines()) == 3
    assert ok(*logs, "--since", "2100-01-01T00:00:00Z") == ""
    lines = [json.loads(line) for line in ok(*logs, "--format", "json").splitlines()]
    assert {(line["index"], line["attempt"], line["stream"]) for line in lines} == {
        (i, a, s) for i in (0, 1) for a in (0, 1) for s in ("stdout", "stderr")
    }
    stamped = ok(*logs, "--index", "0", "--timestamps").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z ", line) for line in stamped)


def test_structured_lines_are_understood() -> None:
    line = '{"severity":"warn","message":"hot","logging.googleapis.com/trace":"t1"}'
    jobrunner("run", "--", "echo", line)
    shown = json.loads(ok("executions", "logs", only_execution(), "--format", "json"))
    assert (shown["severity"], shown["message"], shown["trace"]) == ("WARNING", "hot", "t1")


def test_logs_can_be_followed_from_another_command_line(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo one; while [ ! -e {go} ]; do sleep 0.02; done; echo two"
    with started("run", "--", "sh", "-c", script) as process:
        line_of(process)
        name = only_execution()
        with started("executions", "logs", name, "--follow") as follower:
            assert line_of(follower) == "one"
            go.touch()
            assert follower.communicate(timeout=60)[0] == b"two\n"
            assert follower.returncode == 0


def test_an_execution_is_cancelled_from_another_command_line() -> None:
    with started("run", "--", "sh", "-c", "echo $$; exec sleep 100") as process:
        pid = int(line_of(process))
        name = only_execution()
        run = jobrunner("executions", "cancel", name)
        assert (run.returncode, "1 cancelled" in run.stderr) == (0, True)
        process.communicate(timeout=60)
        assert process.returncode == 1
    assert not alive(pid)
    again = jobrunner("executions", "cancel", name)
    assert again.returncode == 4
    assert "cannot be cancelled because it is not running" in again.stderr


def test_waiting_ends_with_the_execution_or_with_patience(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo go; while [ ! -e {go} ]; do sleep 0.02; done; exit 3"
    with started("run", "--", "sh", "-c", script) as process:
        line_of(process)
        name = only_execution()
        impatient = jobrunner("executions", "wait", name, "--timeout", "0.1s")
        assert (impatient.returncode, "had not ended" in impatient.stderr) == (4, True)
        with started("executions", "wait", name) as patient:
            go.touch()
            patient.communicate(timeout=60)
            assert patient.returncode == 1


def test_an_interrupted_execution_says_so_and_is_continued_without_loss(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo begin; while [ ! -e {go} ]; do sleep 0.02; done; echo end"
    options = ("--tasks", "3", "--parallelism", "2")
    with started("run", *options, "--", "sh", "-c", script) as process:
        line_of(process)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    name = only_execution()
    assert document("executions", "describe", name)["interrupted"] is True
    assert "interrupted" in ok("executions", "list")
    assert f"continue with: jobrunner executions continue {name}" in ok(
        "executions", "describe", name
    )
    waiting = jobrunner("executions", "wait", name)
    assert waiting.returncode == 4
    assert f"jobrunner executions continue {name}" in waiting.stderr
    go.touch()
    ok("executions", "continue", name)
    found = document("executions", "describe", name)
    assert (found["state"], found["interrupted"]) == ("SUCCEEDED", False)
    assert [len(task["attempts"]) for task in found["tasks"]] == [1, 1, 1]
    assert sorted(ok("executions", "logs", name).splitlines()) == sorted(
        f"[{n}] {word}" for n in range(3) for word in ("begin", "end")
    )
    assert jobrunner("executions", "continue", name).returncode == 4


def test_failed_tasks_are_run_again_in_an_execution_of_their_own() -> None:
    script = "echo $CLOUD_RUN_TASK_INDEX/$CLOUD_RUN_TASK_COUNT; test $CLOUD_RUN_TASK_INDEX != 2"
    run = jobrunner("run", "--tasks", "4", "--", "sh", "-c", script)
    assert run.returncode == 1
    parent = only_execution()
    again = jobrunner("executions", "rerun", parent, "--failed")
    assert again.returncode == 1
    child = again.stdout.strip()
    found = document("executions", "describe", child)
    assert (found["taskCount"], found["indices"], found["rerunOf"]) == (1, "2", parent)
    assert ok("executions", "logs", child) == "2/4\n"
    assert document("executions", "describe", parent)["reruns"] == [child]
    chosen = ok("executions", "rerun", parent, "--index", "0,3").strip()
    assert document("executions", "describe", chosen)["indices"] == "0,3"
    refused = jobrunner("executions", "rerun", parent, "--index", "9")
    assert (refused.returncode, "--index: 9 is not an index" in refused.stderr) == (2, True)


def test_tasks_are_listed_by_state_and_described_by_index_or_name() -> None:
    jobrunner("run", "--tasks", "3", "--", "sh", "-c", "exit $CLOUD_RUN_TASK_INDEX")
    name = only_execution()
    failed = document("tasks", "list", "--execution", name, "--state", "failed")
    assert [(task["index"], task["exitCode"]) for task in failed] == [(1, 1), (2, 2)]
    for words in (("2", "--execution", name), (f"{name}-task2",)):
        task = document("tasks", "describe", *words)
        assert (task["execution"], task["index"], len(task["attempts"])) == (name, 2, 1)
    missing = jobrunner("tasks", "describe", "7", "--execution", name)
    assert (missing.returncode, missing.stderr) == (
        3, f"Error: Execution '{name}' has no task 7.\nHint: It has 0-2.\n",
    )  # fmt: skip


def test_deleting_takes_the_logs_too() -> None:
    jobrunner("run", "--", "echo", "x")
    home = Path(os.environ["JOBRUNNER_HOME"])
    assert list((home / "logs").iterdir())
    name = only_execution()
    ok("executions", "delete", name, "--quiet")
    assert document("executions", "list") == []
    assert list((home / "logs").iterdir()) == []


def test_a_job_is_deleted_with_its_executions() -> None:
    ok("jobs", "create", "j", "--command", "true")
    ok("jobs", "execute", "j")
    ok("jobs", "delete", "j")
    assert document("jobs", "list") == []
    assert document("executions", "list") == []


def test_names_live_in_a_project_and_a_region() -> None:
    ok("jobs", "create", "j", "--command", "true", "--project", "p")
    ok("--project", "p", "--region", "europe-west1", "jobs", "create", "j", "--command", "true")
    assert document("jobs", "list") == []
    assert len(document("jobs", "list", "--project", "p")) == 1
    assert jobrunner("jobs", "describe", "j").returncode == 3


def test_pruning_can_be_rehearsed() -> None:
    jobrunner("run", "--", "true")
    name = only_execution()
    assert ok("db", "prune", "--max-age", "0s", "--dry-run") == f"{name}\n"
    assert only_execution() == name
    assert ok("db", "prune", "--max-age", "0s") == f"{name}\n"
    assert document("executions", "list") == []


def test_the_doctor_says_what_is_here_and_that_jobs_can_run() -> None:
    found = document("doctor")
    assert found["canRun"] is True
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert {"Python", "Kernel", "Processes", "Docker", "Database", "Disk"} <= status.keys()
    assert status["Processes"] == status["Database"] == "ok"
    text = ok("doctor")
    assert "no isolation" in text
    assert text.endswith("Jobs can run here.\n")


def test_the_doctor_does_not_call_well_what_no_command_can_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBRUNNER_ENDPOINT", "http://127.0.0.1:1")
    text = ok("doctor")
    assert text.endswith("Jobs can run here, but commands do not reach their server.\n")


def test_database_facts_are_shown_without_secrets() -> None:
    assert "home" in document("db", "info")
    assert ok("db", "upgrade") == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_the_program(shell: str) -> None:
    assert "jobrunner __complete" in ok("completion", shell)


def test_bash_completes_commands_options_and_names() -> None:
    ok("jobs", "create", "report", "--command", "true")
    probe = """
    jobrunner() { "$PYTHON" -m jobrunner.cli.main "$@"; }
    eval "$(jobrunner completion bash)"
    ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _jobrunner; echo "${COMPREPLY[*]}"; }
    ask jobrunner ex
    ask jobrunner jobs describe re
    ask jobrunner jobs list --format = j
    """
    import subprocess
    import sys

    run = subprocess.run(
        ["bash", "-c", probe], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHON": sys.executable},
    )  # fmt: skip
    assert run.stdout.splitlines() == ["executions", "report", "json"]


@pytest.mark.parametrize("flag", ["--execute-now", "--wait"])
def test_a_job_is_executed_when_it_is_stored_as_if_by_jobs_execute(flag: str) -> None:
    name = ok("jobs", "create", "j", "--command", "echo", "--args", "one", flag).strip()
    assert re.fullmatch(r"j-[a-z0-9]{5}", name)
    assert ok("executions", "logs", name) == "one\n"
    second = ok("jobs", "update", "j", "--args", "two", flag).strip()
    assert ok("executions", "logs", second) == "two\n"
    run = jobrunner("jobs", "deploy", "j", "--command", "false", "--max-retries", "0", flag, "-q")
    assert run.returncode == 1
    assert "task 0 failed: exit code 1, 1 attempt" in run.stderr
    assert "Run it with" not in run.stderr
    assert document("jobs", "list")[0]["status"]["executionCount"] == 3


def test_without_those_flags_a_stored_job_is_not_executed() -> None:
    run = jobrunner("jobs", "create", "j", "--command", "true")
    assert (run.returncode, run.stdout) == (0, "")
    assert "Run it with: jobrunner jobs execute j" in run.stderr
    assert document("executions", "list") == []
