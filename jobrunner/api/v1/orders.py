"""The body of a v1 ``:run`` request."""

from __future__ import annotations

from jobrunner.api.v1.containers import read_env
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.core.spec import ContainerOverride, Overrides
from jobrunner.errors import InvalidSpec


def overrides_from_v1(body: object) -> Overrides | None:
    """``None`` if nothing is overridden; an absent or empty body is fine. Raises InvalidSpec for
    what cannot be read; the rules are checked against the job by ``validate_overrides``."""
    problems = Problems()
    root = Node(body, "", problems)
    node = root.node("overrides")
    seconds = node.whole("timeoutSeconds")
    overrides = Overrides(
        containers=tuple(_container(child) for child in node.nodes("containerOverrides")),
        task_count=node.whole("taskCount"),
        timeout=None if seconds is None else float(seconds),
    )
    node.end()
    root.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return None if overrides == Overrides() else overrides


def _container(node: Node) -> ContainerOverride:
    override = ContainerOverride(
        name=node.text("name"),
        args=node.texts("args"),
        clear_args=node.flag("clearArgs"),
        env=read_env(node),
    )
    node.end()
    return override
