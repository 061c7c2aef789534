"""Random expressions of unix-cron, all of which its grammar allows."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.cron_oracle import BOUNDS, DAYS, MONTHS


@st.composite
def terms(draw: st.DrawFn, place: int) -> str:
    """A number, a name, a range or a stepped range."""
    low, high = BOUNDS[place]
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high + (place == 4)))
    names = {3: MONTHS, 4: DAYS}.get(place)

    def show(value: int) -> str:
        if names and value - low < len(names) and draw(st.booleans()):
            return draw(st.sampled_from([str.upper, str.lower, str.title]))(names[value - low])
        return str(value)

    text = show(first)
    if draw(st.booleans()):
        text = f"{text}-{show(last)}"
        if draw(st.booleans()):
            text = f"{text}/{draw(st.integers(1, high - low + 1))}"
    return text


@st.composite
def fields(draw: st.DrawFn, place: int) -> str:
    low, high = BOUNDS[place]
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return "*"
    if kind == 1:
        return f"*/{draw(st.integers(1, high - low + 1))}"
    return ",".join(draw(st.lists(terms(place), min_size=1, max_size=4)))


lines = st.tuples(*(fields(place) for place in range(5))).map(" ".join)
