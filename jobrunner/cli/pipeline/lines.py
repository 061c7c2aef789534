"""Where in a file a field of a document stands."""

from __future__ import annotations

import re

import yaml

_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


def line_of(node: yaml.Node, field: str) -> int:
    """The line, from 1, of ``spec.items[2].name``; that of the nearest thing around it where it
    does not stand there."""
    line = node.start_mark.line + 1
    steps = _STEP.findall(field)
    if steps and _within(node, steps[0][0] or steps[0][1]) is None:
        # What is checked as a whole names its fields without the document around them.
        steps = [("", "spec"), *steps]
    for index, name in steps:
        found = _within(node, index or name)
        if found is None:
            break
        line, node = found
    return line


def _within(node: yaml.Node, step: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode):
        if step.isdecimal() and int(step) < len(node.value):
            child = node.value[int(step)]
            return child.start_mark.line + 1, child
        return None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return key.start_mark.line + 1, value
    return None
