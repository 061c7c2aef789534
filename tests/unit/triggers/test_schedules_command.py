"""``schedules next`` and ``schedules explain`` of a bare expression."""

import pytest

from jobrunner.cli.main import main

NEW_YORK = ["--time-zone", "America/New_York", "--from", "2026-03-07T00:00:00Z"]


def says(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["schedules", *words])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def test_next_prints_an_instant_with_its_offset_on_each_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = says(capsys, "next", "--schedule", "30 2 * * *", *NEW_YORK, "--count", "3")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]


def test_next_is_strictly_after_the_instant(capsys: pytest.CaptureFixture[str]) -> None:
    start = ["--from", "2026-01-01T00:05:00Z", "--count", "1"]
    assert says(capsys, "next", "--schedule", "*/5 * * * *", *start)[1] == (
        "2026-01-01T00:10:00+00:00\n"
    )


def test_an_interval_counts_from_the_instant(capsys: pytest.CaptureFixture[str]) -> None:
    start = ["--from", "2026-01-01T00:07:30Z", "--count", "2"]
    out = says(capsys, "next", "--schedule", "every 5 minutes", *start)[1]
    assert out.split() == ["2026-01-01T00:12:00+00:00", "2026-01-01T00:17:00+00:00"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--schedule", "0 0 30 2 *"],
            "schedule: day-of-month '30' never comes in month '2'; allowed: a date that exists in"
            " some year",
        ),
        (
            ["--schedule", "* * * * *", "--time-zone", "Europe/Berln"],
            "--time-zone (timeZone): 'Europe/Berln' is not a time zone; did you mean"
            " Europe/Berlin?; allowed: a name of the IANA database, such as Europe/Berlin, or UTC",
        ),
    ],
)
@pytest.mark.parametrize("command", ["next", "explain"])
def test_what_is_refused_is_one_line(
    capsys: pytest.CaptureFixture[str], command: str, words: list[str], message: str
) -> None:
    assert says(capsys, command, *words) == (2, "", f"Error: {message}\n")


def test_explain_says_in_words_what_it_means_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = says(
        capsys,
        "explain",
        "--schedule",
        "30 2 * * *",
        *NEW_YORK,
        "--to",
        "2026-03-09T00:00:00Z",
        "--gap",
        "skip",
    )
    assert code == 0
    assert out.splitlines()[0] == "at 02:30, every day (America/New_York)"
    assert "2026-03-08T03:00:00-04:00  no    02:30 does not exist on 2026-03-08" in out
    assert "2026-03-07T02:30:00-05:00  yes   -" in out
