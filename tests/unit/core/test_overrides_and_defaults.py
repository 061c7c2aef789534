"""What an execution changes of its job, and what is filled in when a user leaves it out."""

from __future__ import annotations

import pytest

from jobrunner.core.defaults import fill_defaults
from jobrunner.core.names import default_container_name
from jobrunner.core.overrides import apply_overrides
from jobrunner.core.spec import (
    Container,
    ContainerOverride,
    EnvVar,
    ExecutionTemplate,
    JobSpec,
    Overrides,
    SecretRef,
    TaskTemplate,
)


def template(*containers: Container, **fields: object) -> ExecutionTemplate:
    return ExecutionTemplate(
        template=TaskTemplate(containers=containers),
        **fields,  # type: ignore[arg-type]
    )


BASE = template(
    Container(
        "main",
        "busybox",
        args=("a", "b"),
        env=(EnvVar("A", "1"), EnvVar("S", secret=SecretRef("s")), EnvVar("A", "2")),
    ),
    task_count=10,
    parallelism=5,
)


def overridden(*containers: ContainerOverride) -> Container:
    return apply_overrides(BASE, Overrides(containers)).template.containers[0]


def test_no_override_changes_nothing_that_matters() -> None:
    same = overridden()
    assert same == BASE.template.containers[0]


def test_args_replace_the_whole_list() -> None:
    assert overridden(ContainerOverride("main", args=("x",))).args == ("x",)


def test_empty_args_mean_no_override_and_clear_args_empties() -> None:
    assert overridden(ContainerOverride("main")).args == ("a", "b")
    assert overridden(ContainerOverride("main", clear_args=True)).args == ()


def test_env_is_merged_by_name_and_a_literal_replaces_a_secret() -> None:
    changed = overridden(
        ContainerOverride(env=(EnvVar("S", "plain"), EnvVar("N", "x"), EnvVar("N", "y")))
    )
    assert changed.env == (EnvVar("A", "2"), EnvVar("S", "plain"), EnvVar("N", "y"))


def test_any_name_means_the_only_container() -> None:
    assert overridden(ContainerOverride("other", args=("x",))).args == ("x",)


def test_of_several_containers_the_named_one_is_changed() -> None:
    two = template(Container("a", "x", args=("1",)), Container("b", "x", args=("2",)))
    changed = apply_overrides(two, Overrides((ContainerOverride("b", args=("3",)),)))
    assert [c.args for c in changed.template.containers] == [("1",), ("3",)]


def test_fewer_tasks_lower_the_parallelism_with_them() -> None:
    changed = apply_overrides(BASE, Overrides(task_count=3, timeout=60))
    assert (changed.task_count, changed.parallelism, changed.template.timeout) == (3, 3, 60)
    assert apply_overrides(BASE, Overrides(task_count=20)).parallelism == 5


def test_the_template_of_the_job_stays_as_it_was() -> None:
    before = repr(BASE)
    apply_overrides(BASE, Overrides((ContainerOverride("main", args=("x",)),), 1, 1))
    assert repr(BASE) == before


def test_an_image_gets_the_defaults_of_the_server() -> None:
    spec = fill_defaults(JobSpec(template=template(Container(image="eu.gcr.io/p/app:2"))))
    outer, inner = spec.template, spec.template.template
    (container,) = inner.containers
    assert (outer.task_count, outer.parallelism) == (1, None)
    assert (inner.max_retries, inner.timeout) == (3, 600.0)
    assert inner.service_account == "1000000000001-compute@developer.gserviceaccount.com"
    assert container.name == "app-1"
    assert container.limits == {"cpu": "1000m", "memory": "512Mi"}


def test_what_is_set_stays() -> None:
    given = JobSpec(
        template=ExecutionTemplate(
            template=TaskTemplate(
                containers=(Container("n", "i", limits={"cpu": "2"}),),
                max_retries=0,
                timeout=5.0,
                service_account="me",
            ),
            task_count=7,
            parallelism=0,
        )
    )
    spec = fill_defaults(given)
    assert spec.template.template.max_retries == 0
    assert spec.template.template.timeout == 5.0
    assert spec.template.template.service_account == "me"
    assert spec.template.task_count == 7
    assert spec.template.parallelism is None
    assert spec.template.template.containers[0].limits == {"cpu": "2", "memory": "512Mi"}


def test_a_process_gets_a_name_and_no_limits() -> None:
    spec = fill_defaults(JobSpec(template=template(Container(command=("/opt/My Tool.sh",)))))
    (container,) = spec.template.template.containers
    assert container.name == "my-tool-sh-1"
    assert container.limits == {}


def test_filling_twice_changes_nothing_more() -> None:
    once = fill_defaults(JobSpec(template=template(Container(image="a"), Container(image="a"))))
    assert fill_defaults(once) == once
    assert [c.name for c in once.template.template.containers] == ["a-1", "a-2"]


def test_a_filled_name_is_never_one_that_is_taken() -> None:
    spec = fill_defaults(
        JobSpec(template=template(Container(image="app"), Container("app-1", "x")))
    )
    assert [c.name for c in spec.template.template.containers] == ["app-2", "app-1"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("REGISTRY/team/planner-jobs:x", "planner-jobs-1"),
        ("localhost:5000/app", "app-1"),
        ("app@sha256:" + "0" * 64, "app-1"),
        ("a/my__app.x:1", "my-app-x-1"),
        ("___", "main-1"),
    ],
)
def test_an_unnamed_container_is_called_like_its_image(image: str, name: str) -> None:
    assert default_container_name(image, (), 1) == name
