"""The rooms keep to themselves: what a linter of imports checks, and what it cannot say."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Parts of the standard library that do no I/O, tell no time and are not random.
PURE = {
    "__future__", "abc", "base64", "bisect", "calendar", "collections", "dataclasses", "datetime",
    "enum", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "shlex",
    "string", "textwrap", "types", "typing", "unicodedata",
}  # fmt: skip

CALENDARS = {"date", "datetime", "datetime.date", "datetime.datetime"}

PACKAGES = [
    path.parent.relative_to(ROOT)
    for top in ("jobrunner", "triggers")
    for path in sorted((ROOT / top).rglob("__init__.py"))
]


def modules(room: str) -> Iterator[tuple[Path, ast.Module]]:
    base = ROOT / room
    for path in sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]:
        yield path, ast.parse(path.read_text(), str(path))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def test_the_arrows_between_rooms_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_core_imports_nothing_that_acts_tells_time_or_is_random() -> None:
    for path, tree in modules("jobrunner/core"):
        for name in imports(tree):
            ours = within(name, "jobrunner.core", "jobrunner.errors")
            assert ours or name.split(".")[0] in PURE, f"{path} imports {name}"


def test_core_is_told_the_time_and_never_asks() -> None:
    for path, tree in modules("jobrunner/core"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}:
                assert ast.unparse(node.value) not in CALENDARS, f"{path}:{node.lineno}"


def test_the_rules_of_triggers_are_as_pure() -> None:
    """cronsim and msgspec compute and no more; the zone rules are data that the machine keeps."""
    ours = ("triggers.core", "triggers.errors", "jobrunner.core", "jobrunner.errors")
    rules = (*ours, "cronsim", "msgspec")
    for path, tree in modules("triggers/core"):
        for name in imports(tree):
            zones = path.name == "zones.py" and within(name, "zoneinfo")
            assert zones or within(name, *rules) or name.split(".")[0] in PURE, f"{path}: {name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}:
                assert ast.unparse(node.value) not in CALENDARS, f"{path}:{node.lineno}"


def test_errors_and_lib_know_nothing_of_ours() -> None:
    for room in ("jobrunner/errors", "jobrunner/lib", "jobrunner/plugins"):
        inside = room.replace("/", ".")
        for path, tree in modules(room):
            for name in imports(tree):
                if within(name, "jobrunner", "triggers"):
                    assert within(name, inside), f"{path} imports {name}"


def test_the_supervisor_is_small_it_imports_the_standard_library_and_lib() -> None:
    supervisor = "jobrunner.backends.supervisor"
    for path, tree in modules(supervisor.replace(".", "/")):
        for name in imports(tree):
            # The package's door sign tells where it lies; it imports nothing.
            small = within(name, supervisor, "jobrunner.lib") or name == "jobrunner"
            assert small or name.split(".")[0] in sys.stdlib_module_names, f"{path} imports {name}"


def test_table_classes_stay_in_store() -> None:
    for path, tree in modules("jobrunner"):
        if (ROOT / "jobrunner/store") in path.parents:
            continue
        for name in imports(tree):
            assert not within(name, "jobrunner.store.tables"), f"{path} imports {name}"


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_every_room_has_a_door_sign(package: Path) -> None:
    sign = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    assert sign, f"{package}/__init__.py says nothing about the room"
