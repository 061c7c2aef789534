"""A document is made once for a value that stays the same one, within a bounded memory."""

from jobrunner.api.remembered import Remembered


class Shown:
    def __init__(self, size: int = 1) -> None:
        self.size = size


def test_the_same_value_is_shown_once_and_an_equal_one_anew() -> None:
    seen: list[tuple[int]] = []

    def show(value: tuple[int]) -> bytes:
        seen.append(value)
        return b"%d" % value[0]

    shown = Remembered(show)
    one, another = (int("1000"),), (int("1000"),)
    assert [shown(one), shown(one), shown(another)] == [b"1000"] * 3
    assert len(seen) == 2


def test_no_more_bytes_than_allowed_are_kept() -> None:
    seen: list[Shown] = []

    def show(value: Shown) -> bytes:
        seen.append(value)
        return b"x" * value.size

    shown = Remembered(show, most=10)
    small, large = [Shown(4) for _ in range(3)], Shown(11)
    for value in (*small, small[2], large, large, small[2]):
        assert len(shown(value)) == value.size
    assert seen == [*small, large, large, small[2]]
