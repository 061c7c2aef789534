"""Plug-ins are found through an entry point, so the arrow between two packages stays one way."""

import ast
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import jobrunner
from jobrunner.plugins import ENTRY_POINT_GROUP, Plugin

ROOM = Path(jobrunner.__file__).parent


def test_triggers_is_found_through_its_entry_point() -> None:
    (entry,) = entry_points(group=ENTRY_POINT_GROUP, name="triggers")
    plugin = entry.load()
    assert isinstance(plugin, Plugin)
    assert plugin.name == "triggers"


def test_every_part_of_a_plugin_can_be_imported() -> None:
    from importlib import import_module

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        plugin = entry.load()
        for part in (*plugin.commands.values(), *plugin.routes, *plugin.loops):
            module, _, attribute = part.partition(":")
            assert hasattr(import_module(module), attribute), part


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOM)))
def test_nothing_in_jobrunner_imports_triggers(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not [name for name in names if name.split(".")[0] == "triggers"]
