"""The body of a v2 ``:run`` request."""

from __future__ import annotations

from typing import NamedTuple

from jobrunner.api.v2.containers import read_env
from jobrunner.api.v2.refusing import invalid
from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from jobrunner.core.spec import ContainerOverride, Overrides

REQUEST = "RunJobRequest"


class RunOrder(NamedTuple):
    """``overrides`` is ``None`` if nothing is overridden."""

    overrides: Overrides | None
    validate_only: bool
    etag: str


def order_from_v2(body: object) -> RunOrder:
    """An absent or empty body is fine. Raises InvalidSpec for what cannot be read; the rules are
    checked against the job by ``validate_overrides``."""
    problems = Problems()
    root = Node(body, "", problems)
    # The path of the call says which job is meant.
    root.skip("name")
    node = root.node("overrides")
    overrides = Overrides(
        containers=tuple(_container(child) for child in node.nodes("containerOverrides")),
        # In a message a number that is not set is zero.
        task_count=node.whole("taskCount") or None,
        timeout=read_duration(node, "timeout"),
    )
    order = RunOrder(
        None if overrides == Overrides() else overrides,
        root.flag("validateOnly"),
        root.text("etag"),
    )
    node.end()
    root.end()
    if problems.violations:
        raise invalid(REQUEST, problems.violations)
    return order


def override_path(v1: str) -> str:
    """The v2 path of a field of the overrides."""
    return v1.replace("overrides.timeoutSeconds", "overrides.timeout").replace(
        ".valueFrom.", ".valueSource."
    )


def _container(node: Node) -> ContainerOverride:
    override = ContainerOverride(
        name=node.text("name"),
        args=node.texts("args"),
        clear_args=node.flag("clearArgs"),
        env=read_env(node),
    )
    node.end()
    return override
