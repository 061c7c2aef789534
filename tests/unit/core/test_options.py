"""Our own annotations: off by default, read strictly."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.options import (
    OPTION_KEYS,
    HostMount,
    RunOptions,
    options_of,
    unknown_options,
)
from jobrunner.core.retry import RetryAction, RetryPolicy, RetryRule
from jobrunner.errors import InvalidSpec

P = "jobrunner.dev/"


def test_without_annotations_every_option_is_off() -> None:
    assert options_of({}) == RunOptions()
    assert options_of({"team": "data", P + "rerun-of": "a-1"}) == RunOptions()
    assert RunOptions().retry_policy(None) == RetryPolicy(max_retries=3)
    assert RunOptions().retry_policy(0) == RetryPolicy(max_retries=0)


def test_every_option_is_read() -> None:
    options = options_of(
        {
            P + "fail-fast": "true",
            P + "retry-backoff": "5s",
            P + "retry-max-backoff": "5m",
            P + "retry-rules": "3=fail-task",
            P + "grace-period": "30s",
            P + "deadline": "2h",
            P + "init": "true",
            P + "network": "my_net",
            P + "host-mounts": "/data:/in:ro, /out//:/out/",
            P + "backend": "process",
            P + "log-limit": "32Mi",
        }
    )
    rule = RetryRule(RetryAction.FAIL_TASK, codes=((3, 3),))
    assert options == RunOptions(
        fail_fast=True,
        retry_backoff=5.0,
        retry_max_backoff=300.0,
        retry_rules=(rule,),
        grace_period=30.0,
        deadline=7200.0,
        init=True,
        network="my_net",
        host_mounts=(HostMount("/data", "/in", True), HostMount("/out//", "/out")),
        backend="process",
        log_limit=32 * 2**20,
    )
    assert options.retry_policy(2) == RetryPolicy(2, 5.0, 300.0, (rule,))


BAD = [
    ("fail-fast", "yes", '\'yes\' is not allowed; allowed: "true" or "false"'),
    ("init", "True", '\'True\' is not allowed; allowed: "true" or "false"'),
    ("backend", "podman", '\'podman\' is not allowed; allowed: "process" or "docker"'),
    ("retry-backoff", "soon", "'soon' is not a duration; write it as 90, 90s, 10m5s, 1h or 2d"),
    ("retry-backoff", "25h", "'25h' is out of range; allowed: 0s to 24h"),
    ("retry-max-backoff", "5m", "it has no effect without jobrunner.dev/retry-backoff"),
    ("grace-period", "2d", "'2d' is out of range; allowed: 0s to 24h"),
    ("deadline", "0.5s", "'0.5s' is out of range; allowed: 1s to 8760h"),
    ("log-limit", "1Ki", "'1Ki' is too little; allowed: 64Ki or more"),
    ("log-limit", "big", "'big' is not an amount of bytes; write it as 512Mi, 2Gi or 500M"),
    (
        "network",
        "a b",
        "'a b' is not a network; allowed: bridge, host, none or the name of a Docker network",
    ),
    (
        "host-mounts",
        "/data",
        "'/data' is not a mount; write /SOURCE:/TARGET or /SOURCE:/TARGET:ro, more than one"
        " separated by commas",
    ),
    ("host-mounts", "data:/in", "'data' in 'data:/in' is not an absolute path without '..'"),
    (
        "host-mounts",
        "/a/../b:/in",
        "'/a/../b' in '/a/../b:/in' is not an absolute path without '..'",
    ),
    ("host-mounts", "/a://", "the target of '/a://' is '/'; mount below it"),
    ("host-mounts", "/a:/in,/b:/in/", "two mounts have the target '/in'"),
    ("retry-rules", "x", "'x' is not a rule: allowed: CONDITION=ACTION"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_a_bad_value_is_answered_with_its_exact_reason(key: str, value: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        options_of({P + key: value}, "here")
    (violation,) = caught.value.violations
    assert violation.field == f"here[{P}{key}]"
    assert violation.message.startswith(message)


def test_every_bad_value_is_found() -> None:
    with pytest.raises(InvalidSpec) as caught:
        options_of({P + "init": "1", P + "deadline": "x", P + "retry-rules": "x;y"})
    assert len(caught.value.violations) == 4


def test_a_longest_wait_below_the_first_one_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="'1s' is shorter than"):
        options_of({P + "retry-backoff": "5s", P + "retry-max-backoff": "1s"})


def test_a_misspelt_option_is_answered_with_the_nearest_one() -> None:
    (violation,) = unknown_options({P + "fail-fats": "true"}, "here")
    assert "did you mean 'jobrunner.dev/fail-fast'?" in violation.message


def test_what_jobrunner_itself_writes_is_not_for_users() -> None:
    (violation,) = unknown_options({P + "rerun-of": "a", P + "init": "true"}, "here")
    assert violation.field == "here[jobrunner.dev/rerun-of]"


@given(st.dictionaries(st.sampled_from(OPTION_KEYS), st.text(max_size=20)))
def test_any_values_are_options_or_invalid(annotations: dict[str, str]) -> None:
    with contextlib.suppress(InvalidSpec):
        assert isinstance(options_of(annotations), RunOptions)


def test_the_page_about_annotations_has_a_section_for_each_and_its_examples_hold() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/annotations.md").read_text()
    assert set(re.findall(r"^\| `(jobrunner\.dev/[a-z-]+)`", page, re.M)) == set(OPTION_KEYS)
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    shown = dict(re.findall(r'^ +(jobrunner\.dev/[a-z-]+): "?(.*?)"?$', example, re.M))
    assert set(shown) == set(OPTION_KEYS)
    options = options_of(shown)
    assert options != RunOptions()
