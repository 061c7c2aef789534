"""Before something is gone for good there is a question, where there is somebody to ask."""

import io

import pytest

from jobrunner.cli.asking import confirmed
from jobrunner.errors import Refused


class Person(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["n\n", "\n", "no\n"])
def test_a_no_or_no_word_at_all_deletes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", Person(answer))
    with pytest.raises(Refused, match="Nothing was deleted"):
        confirmed("Delete it?", quiet=False)
    out, err = capsys.readouterr()
    assert (out, "Delete it? [y/N]" in err) == ("", True)


@pytest.mark.parametrize(
    ("person", "quiet"), [(Person("y\n"), False), (Person("n\n"), True), (io.StringIO(""), False)]
)
def test_a_yes_quiet_or_nobody_there_goes_on(
    monkeypatch: pytest.MonkeyPatch, person: io.StringIO, quiet: bool
) -> None:
    monkeypatch.setattr("sys.stdin", person)
    confirmed("Delete it?", quiet=quiet)
