"""The player of transcripts finds what differs, and lets pass what may."""

from pathlib import Path

import pytest

from tests.samples.transcript import File, Shell, Step, Wait, differences, parts_of, play


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_a_page_is_cut_into_commands_with_the_output_they_show(tmp_path: Path) -> None:
    text = "# T\n\n```console\n$ one\n> more\na\n\nb\n$ two\n```\n\n```sh\nnot run\n```\n"
    assert parts_of(page(tmp_path, text)) == [Step("one\nmore", ("a", "", "b")), Step("two", ())]


def test_a_block_may_be_a_file_and_may_say_what_varies(tmp_path: Path) -> None:
    file = "<!-- file: a.txt -->\n```text\nx\n```\n"
    text = f"{file}<!-- varies: n\\d -->\n```console\n$ c\nn1\n```\n"
    assert parts_of(page(tmp_path, text)) == [
        File("a.txt", "x\n"),
        Step("c", ("n1",), ("n\\d",)),
    ]
    text = "<!-- varies: a -->\n<!-- repeats: b+ -->\n```console\n$ c\n```\n"
    assert parts_of(page(tmp_path, text)) == [Step("c", (), ("a",), ("b+",))]


def test_a_block_may_wait_for_something(tmp_path: Path) -> None:
    text = "```console\n$ (sleep 0.3; touch here) &\n```\n\n"
    text += "<!-- wait: test -e here -->\n```console\n$ ls here\nhere\n```\n"
    assert parts_of(page(tmp_path, text))[1] == Wait("test -e here")
    assert play(tmp_path / "page.md", tmp_path)[-1].exit_code == 0


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        (["took 1.2s"], ["took 340ms"]),
        (["59s ago", "59.1s"], ["1m ago", "1m3s"]),
        (["b", "a"], ["a", "", "b"]),
        (["a", "..."], ["a", "b", "c"]),
        (["NAME   AGE", "x      3s"], ["NAME        AGE", "x           12s"]),
        (["at 2025-05-01T10:00:00.123Z"], ["at 2026-01-01T00:00:00.9Z"]),
    ],
)
def test_what_may_differ_passes(shown: list[str], seen: list[str]) -> None:
    assert differences(tuple(shown), tuple(seen)) == []


@pytest.mark.parametrize(
    ("shown", "seen", "found"),
    [
        (["a"], ["b"], ["shown, but did not come: a", "came, but is not shown: b"]),
        (["a", "a"], ["a"], ["shown, but did not come: a"]),
        (["a"], ["a", "a"], ["came, but is not shown: a"]),
        (["a", "..."], ["b"], ["shown, but did not come: a"]),
        ([], ["noise"], ["came, but is not shown: noise"]),
        (["10 succeeded"], ["9 succeeded"], None),
    ],
)
def test_what_must_not_differ_is_found(
    shown: list[str], seen: list[str], found: list[str] | None
) -> None:
    result = differences(tuple(shown), tuple(seen))
    assert result if found is None else result == found


def test_a_line_that_may_repeat_may_come_never_once_or_often() -> None:
    for seen in ((), ("b 1",), ("b 1", "a", "b 2")):
        found = differences(("a", "b 7"), (*seen, "a"), repeats=(r"b \d",))
        assert found == (["came, but is not shown: a"] if "a" in seen else [])
    assert differences(("b 7",), ("b 7 c",), repeats=(r"b \d",)) == [
        "came, but is not shown: b 7 c"
    ]


def test_a_name_shown_on_the_page_stands_for_the_one_of_this_run(tmp_path: Path) -> None:
    shown = "run-bbbbb-ccccc"
    text = f"```console\n$ cat seen\n{shown} started\n$ echo {shown}\n{shown}\n```\n"
    (tmp_path / "seen").write_text("run-ddddd-fffff started\n")
    *_, last = play(page(tmp_path, text), tmp_path)
    assert last.output == ("run-ddddd-fffff",)
    assert last.names == ("run-ddddd-fffff",)


def test_a_page_that_shows_something_else_fails(tmp_path: Path) -> None:
    text = "```console\n$ echo one\ntwo\n```\n"
    with pytest.raises(AssertionError, match="shown, but did not come: two"):
        play(page(tmp_path, text), tmp_path)


def test_commands_share_a_shell_and_see_the_last_exit_code(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        assert shell.run("X=1; sh -c 'exit 7'") == ((), 7)
        assert shell.run("echo $X $?") == (("1 7",), 0)
        assert shell.run("cat <<'END'\nhere\nEND") == (("here",), 0)
