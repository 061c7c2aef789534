"""A copy of what the pages talk about, so that a run leaves nothing in the source tree."""

import shutil
from pathlib import Path

import pytest

from tests.samples.transcript import ROOT


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A directory with ``samples/`` in it, and a fresh home."""
    ignored = shutil.ignore_patterns("out", "checkpoints", "busybox", "__pycache__")
    shutil.copytree(ROOT / "samples", tmp_path / "samples", ignore=ignored)
    return tmp_path
