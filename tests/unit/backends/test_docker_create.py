import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobrunner.backends._docker.create import (
    Marks,
    container_name,
    create_body,
    home_id,
    labels,
    marks_of,
    read_marks,
    tmpfs_options,
)
from jobrunner.backends._docker.files import Mounted
from jobrunner.core.records import AttemptKey
from jobrunner.ports import Bind, LaunchSpec, LaunchTemplate, LogLimits, SecretFile, Tmpfs

KEY = AttemptKey("00000000-0000-4000-8000-000000000001", 3, 1)


def launch(key: AttemptKey = KEY, env: dict[str, str] | None = None, **fields: Any) -> LaunchSpec:
    fields = {"execution_name": "job-abcde", "image": "app", **fields}
    template = LaunchTemplate(
        execution=key.execution, job_name="job", project="p", region="r", **fields
    )
    return LaunchSpec(key, template, lease=4, env=env or {}, log="/logs/x/3.1")


def body(spec: LaunchSpec, cpus: int = 8, **kwargs: Any) -> dict[str, Any]:
    return create_body(spec, home="feed", cpus=cpus, log_drivers=["local", "json-file"], **kwargs)


def test_a_command_replaces_the_entrypoint_and_args_the_images_command() -> None:
    both = body(launch(command=("/bin/app", "-x"), args=("a", "b")))
    assert (both["Entrypoint"], both["Cmd"]) == (["/bin/app", "-x"], ["a", "b"])


def test_args_alone_leave_the_entrypoint_to_the_image() -> None:
    only = body(launch(args=("a",)))
    assert only["Cmd"] == ["a"]
    assert "Entrypoint" not in only


def test_a_command_alone_brings_no_args_of_its_own() -> None:
    only = body(launch(command=("/bin/app",)))
    assert only["Entrypoint"] == ["/bin/app"]
    assert "Cmd" not in only


def test_the_attempts_environment_is_laid_over_the_templates() -> None:
    spec = launch(env={"B": "attempt", "C": "="})
    spec = LaunchSpec(
        spec.key,
        LaunchTemplate(**{**_fields(spec.template), "env": {"A": "1", "B": "template"}}),
        spec.lease,
        spec.env,
        spec.log,
    )
    assert sorted(body(spec)["Env"]) == ["A=1", "B=attempt", "C=="]


def _fields(template: LaunchTemplate) -> dict[str, Any]:
    return {name: getattr(template, name) for name in template.__dataclass_fields__}


def test_limits_are_in_the_engines_units_and_leave_no_room_for_swap() -> None:
    config = body(launch(cpus=1.5, memory=512 * 1024**2))["HostConfig"]
    assert config["NanoCpus"] == 1_500_000_000
    assert config["Memory"] == config["MemorySwap"] == 536_870_912


def test_more_cpus_than_the_machine_has_are_clamped_to_it() -> None:
    assert body(launch(cpus=4.0), cpus=2)["HostConfig"]["NanoCpus"] == 2_000_000_000
    assert body(launch(cpus=4.0), cpus=0)["HostConfig"]["NanoCpus"] == 4_000_000_000


def test_without_limits_none_are_set() -> None:
    config = body(launch())["HostConfig"]
    assert not {"NanoCpus", "Memory", "MemorySwap", "Tmpfs"} & config.keys()


def test_a_memory_volume_is_no_larger_than_the_memory_limit() -> None:
    assert tmpfs_options(100, 50).endswith(",size=50")
    assert tmpfs_options(50, 100).endswith(",size=50")
    assert tmpfs_options(None, 100).endswith(",size=100")
    assert "size" not in tmpfs_options(None, None)
    config = body(launch(tmpfs=(Tmpfs("/scratch", 10),)))["HostConfig"]
    assert config["Tmpfs"] == {"/scratch": tmpfs_options(10, None)}


def test_mounts_say_what_may_be_written() -> None:
    spec = launch(binds=(Bind("/data", "/in", read_only=True), Bind("/out", "/out")))
    mounts = body(spec, secrets=[Mounted("/files/0", "/secrets")])["HostConfig"]["Mounts"]
    assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in mounts] == [
        ("/data", "/in", True),
        ("/out", "/out", False),
        ("/files/0", "/secrets", True),
    ]


def test_a_secrets_content_is_nowhere_in_what_the_engine_is_told() -> None:
    spec = launch(secret_files=(SecretFile("/secrets/key", b"hunter2"),))
    assert "hunter2" not in repr(body(spec, secrets=[Mounted("/files/0", "/secrets")]))


def test_a_container_is_plain_unless_told_otherwise() -> None:
    made = body(launch())
    config = made["HostConfig"]
    assert config["Privileged"] is False
    assert config["Init"] is False
    assert config["NetworkMode"] == "default"
    assert config["RestartPolicy"] == {"Name": "no"}
    assert config["AutoRemove"] is False
    assert (made["OpenStdin"], made["Tty"], made["StopSignal"]) == (False, False, "SIGTERM")
    assert body(launch(grace=1.5))["StopTimeout"] == 2
    chosen = body(launch(init=True, network="host", working_dir="/w"))
    assert chosen["HostConfig"]["Init"] is True
    assert chosen["HostConfig"]["NetworkMode"] == "host"
    assert chosen["WorkingDir"] == "/w"


def test_output_is_kept_by_the_driver_that_keeps_bytes_and_is_never_rotated() -> None:
    config = body(launch())["HostConfig"]["LogConfig"]
    assert config["Type"] == "local"
    assert config["Config"]["max-file"] == "1"
    poor = create_body(launch(), home="feed", cpus=1, log_drivers=["json-file"])
    assert poor["HostConfig"]["LogConfig"]["Type"] == "json-file"


def test_labels_are_read_back_as_they_were_written() -> None:
    spec = launch(log_limits=LogLimits(10, 20))
    assert read_marks(labels("feed", spec)) == Marks(
        "feed", KEY, 4, "/logs/x/3.1", LogLimits(10, 20), None, 10.0
    )
    timed = launch(timeout=0.25, grace=1.5)
    marks = read_marks(labels("feed", timed))
    assert marks == marks_of("feed", timed)
    assert marks is not None
    assert (marks.timeout, marks.grace) == (0.25, 1.5)


def test_labels_of_others_are_not_ours() -> None:
    assert read_marks(None) is None
    assert read_marks({}) is None
    assert read_marks({"dev.jobrunner.home": "feed"}) is None
    assert read_marks({**labels("feed", launch()), "dev.jobrunner.attempt": "x"}) is None


keys = st.builds(AttemptKey, st.uuids().map(str), st.integers(0, 9999), st.integers(0, 99))


@given(keys, keys, st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=200))
def test_names_are_allowed_by_the_engine_and_differ_where_keys_do(
    one: AttemptKey, other: AttemptKey, execution: str
) -> None:
    name = container_name("0123456789ab", launch(one, execution_name=execution))
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,200}", name)
    same = container_name("0123456789ab", launch(other, execution_name=execution))
    assert (name == same) == (one == other)


def test_a_home_is_known_by_machine_and_path() -> None:
    assert home_id("m", "/a") == home_id("m", "/a")
    assert len({home_id("m", "/a"), home_id("n", "/a"), home_id("m", "/b")}) == 3
