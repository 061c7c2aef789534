"""What the documents show is what one sees: each page with a transcript is played."""

from pathlib import Path

import pytest

from tests.samples.transcript import ROOT, Step, parts_of, play

PAGES = [
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if any(isinstance(part, Step) for part in parts_of(page))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_a_page_shows_what_one_sees(page: Path, home: Path, tmp_path: Path) -> None:
    play(page, tmp_path)
