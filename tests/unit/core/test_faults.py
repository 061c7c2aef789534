import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.faults import FORM, Faults, parse_faults


def test_the_form_that_is_shown_is_read() -> None:
    assert parse_faults(FORM) == Faults(
        seed=7, duplicate=0.1, delay=0.2, reorder=0.1, drop=0.05, error=0.1, kill=0.1,
        delay_seconds=0.1, status=503, kill_seconds=0.05,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not one of seed, duplicate"),
        ("drop", "not one of"),
        ("error=0.1", "not one of"),
        ("drop=2", "drop: '2' is not a probability"),
        ("drop=nan", "not a probability"),
        ("drop=0.1,drop=0.2", "drop stands twice"),
        ("drop=0.1:5s", "nothing may follow"),
        ("5xx=0.1:404", "5xx: '404' is not a status from 500 to 599"),
        ("delay=0.1:2h", "longer than 60s"),
        ("seed=x", "not a whole number"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_faults(text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        found = parse_faults(text)
    except ValueError:
        return
    assert all(0 <= chance <= 1 for chance in (found.drop, found.kill, found.duplicate))


@given(st.integers(0, 10**9), st.text(), st.integers())
def test_the_same_seed_means_the_same_faults(seed: int, name: str, number: int) -> None:
    one, other = Faults(seed=seed, drop=0.5), Faults(seed=seed, drop=0.5)
    assert one.happens("drop", name, number) == other.happens("drop", name, number)
    assert not Faults(seed=seed).happens("drop", name, number)
    assert Faults(seed=seed, drop=1.0).happens("drop", name, number)


def test_a_fault_happens_about_as_often_as_it_is_to() -> None:
    faults = Faults(seed=3, drop=0.2, kill=0.2)
    dropped = [faults.happens("drop", number) for number in range(5000)]
    assert 900 < sum(dropped) < 1100
    assert dropped != [faults.happens("kill", number) for number in range(5000)]
