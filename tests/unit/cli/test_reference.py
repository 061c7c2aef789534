"""The reference page names every command and every option there is."""

import re
from pathlib import Path

import pytest

from jobrunner.cli.completion_words import COMMANDS, OPTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()
NAMES = sorted({name for options in OPTIONS.values() for name in options})


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_on_the_page(name: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", PAGE)


@pytest.mark.parametrize(
    "path", [f"{group} {name}".strip() for group, names in COMMANDS.items() for name in names]
)
def test_every_command_is_on_the_page(path: str) -> None:
    assert path in PAGE
