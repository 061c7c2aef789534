from pathlib import Path

import pytest
import yaml

from jobrunner.cli.documents import read_documents
from jobrunner.cli.pipeline.lines import line_of
from jobrunner.cli.pipeline.loading import LULL_SECONDS, Lull, fingerprint, read_version
from jobrunner.cli.pipeline.made import Made
from jobrunner.cli.pipeline.printing import line_for_people, line_for_programs
from jobrunner.cli.table import KINDS, REMOVED_AT
from jobrunner.core.news import News, Tone
from jobrunner.errors import InvalidSpec

TEXT = b"""\
# one
a: 1
spec:
  items:
  - name: x
  - name: y
    deep: {z: 1}
---
---
b: 2
"""
EVENT = News(0.0, "event", "shop.placed", "matched", "\x1b[31mred", Tone.GOOD, {"id": "7"})


def document_nodes(folder: Path) -> list[yaml.Node]:
    file = folder / "text.yaml"
    file.write_bytes(TEXT)
    return [one.node for one in read_documents([str(file)]) if one.node is not None]


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("a", 2),
        ("spec", 3),
        ("spec.items[1]", 6),
        ("spec.items[1].deep.z", 7),
        ("items[0].name", 5),
        ("spec.items[9].name", 4),
        ("nowhere", 3),
        ("", 2),
    ],
)
def test_a_field_is_found_where_it_stands_or_nearest_to_it(
    tmp_path: Path, field: str, line: int
) -> None:
    assert line_of(document_nodes(tmp_path)[0], field) == line


def test_an_empty_document_is_none(tmp_path: Path) -> None:
    assert [node.start_mark.line for node in document_nodes(tmp_path)] == [1, 9]


def test_every_violation_comes_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "apiVersion: jobrunner.dev/v1\nkind: Queue\nmetadata: {name: 'a b'}\nspec: {}\n---\n"
        "apiVersion: jobrunner.dev/v1\nkind: Queue\nmetadata: {name: q}\nspec:\n  odd: 1\n"
    )
    with pytest.raises(InvalidSpec) as caught:
        read_version([str(file)])
    assert [one.field.rsplit(": ")[0].rsplit(":")[-1] for one in caught.value.violations] == [
        "4",
        "10",
    ]


def test_a_file_that_holds_nothing_describes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("# later\n")
    assert read_version([str(file)]).things == frozenset()


def test_a_file_that_was_written_has_another_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    before = fingerprint([str(file)])
    file.write_text("a: 1\n")
    assert fingerprint([str(file)]) != before


def test_a_file_that_somebody_writes_is_taken_once_it_stays_as_it_is(tmp_path: Path) -> None:
    file, lull = tmp_path / "p.yaml", Lull(())

    def over(now: float) -> bool:
        return lull.over(fingerprint([str(file)]), now)

    assert not over(9.0), "as it was"
    file.write_text("")
    assert not over(10.0), "emptied by whoever writes it"
    file.write_text("a: 1\n")
    assert not over(10.0 + LULL_SECONDS), "written this moment"
    assert over(10.0 + 2 * LULL_SECONDS)
    assert not over(10.0 + 3 * LULL_SECONDS), "taken already"


def test_what_a_file_has_made_is_kept_by_place(tmp_path: Path) -> None:
    home, paths = str(tmp_path), ("p.yaml",)
    Made(home, paths, ("local", "us-central1")).keep([("Job", "a")])
    assert Made(home, paths, ("local", "us-central1")).things == [("Job", "a")]
    assert Made(home, paths, ("other", "us-central1")).things == []
    assert Made(home, ("q.yaml",), ("local", "us-central1")).things == []


def test_every_kind_can_be_removed() -> None:
    assert {kind for kind, _ in KINDS} <= REMOVED_AT.keys()


def test_lines_are_aligned_and_hold_no_orders_for_a_terminal() -> None:
    line = line_for_people(EVENT, colour=False, virtual=True)
    assert line.startswith("1970-01-01 00:00:00  event     matched     shop.placed ")
    assert "\x1b" not in line
    assert "\x1b[32mmatched" in line_for_people(EVENT, colour=True, virtual=True)
    assert '"id": "7"' in line_for_programs(EVENT)


def test_a_document_of_names_describes_each_of_them(tmp_path: Path) -> None:
    document = tmp_path / "dirs.yaml"
    document.write_text(
        "apiVersion: jobrunner.dev/v1\nkind: Buckets\nspec:\n  photos: /srv/a\n  texts: /srv/b\n"
    )
    things = read_version([str(document)]).things
    assert things == {("Buckets", "photos"), ("Buckets", "texts")}
