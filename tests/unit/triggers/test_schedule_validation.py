"""A schedule is held to the bounds of the contract; every violation is named at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from triggers.core.records import (
    HttpTarget,
    JobTarget,
    PubsubTarget,
    Schedule,
    ScheduleRetry,
    Target,
)
from triggers.core.validation import MAX_HEADERS, check_schedule, check_target

GOOD = Schedule(
    uid="s",
    project="local",
    region="us-central1",
    name="nightly",
    expression="0 9 * * *",
    target=HttpTarget("https://svc.example/run", headers=(("Content-Type", "text/plain"),)),
    time_zone="Europe/Berlin",
)


def problems(schedule: Schedule) -> list[str]:
    try:
        check_schedule(schedule)
    except InvalidSpec as error:
        return [str(violation) for violation in error.violations]
    return []


@pytest.mark.parametrize(
    "target",
    [
        GOOD.target,
        HttpTarget("http://127.0.0.1:8080", body=b"{}", deadline=15),
        HttpTarget("HTTPS://x/y?z#f", method="GET", deadline=1800),
        HttpTarget(f"http://x/{'y' * 2074}"),
        JobTarget("nightly"),
        PubsubTarget("projects/p/topics/t-1", data=b"x"),
        PubsubTarget("projects/p/topics/t-1", attributes=(("a", "b"),)),
    ],
)
def test_what_the_contract_allows_passes(target: Target) -> None:
    check_target(target)
    assert problems(replace(GOOD, target=target)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name: '' is not a name of a schedule; allowed: letters, digits, - and _"),
        ({"name": "a/b"}, "name: 'a/b' is not a name"),
        ({"name": "a" * 501}, "at most 500 characters"),
        ({"name": "naïve"}, "name: 'naïve' is not a name"),
        ({"description": "x" * 501}, "description: 501 characters are too many; at most 500"),
        ({"expression": "61 * * * *"}, "schedule: minute '61': 61 is out of bounds"),
        ({"expression": "every monday"}, "schedule: 'every monday': the time is missing"),
        ({"time_zone": "Mars"}, "timeZone: 'Mars' is not a time zone"),
        ({"retry": ScheduleRetry(retry_count=9)}, "retryConfig.retryCount: 9 is not from 0 to 5"),
        ({"overlap_limit": 0}, "overlapLimit: 0 is not from 1 to 1000"),
        ({"catch_up_limit": 0}, "missedRunsLimit: 0 is not from 1 to 1000"),
        ({"catch_up_window": 0.0}, "missedRunsWindow: 0 is not a duration"),
        ({"catch_up_window": float("nan")}, "missedRunsWindow: nan is not a duration"),
        ({"spread": -1}, "spread: -1 is not from 0 to 86400"),
        ({"jitter": 1e9}, "jitter: 1e+09 is not from 0 to 86400 seconds"),
        ({"pause_after": 0}, "pauseAfter: 0 is not from 1 to 1000000"),
        ({"starts_at": 10.0, "ends_at": 9.0}, "end: it lies before the start"),
    ],
)
def test_a_setting_out_of_bounds_is_named_with_what_is_allowed(
    change: dict[str, object], message: str
) -> None:
    (found,) = problems(replace(GOOD, **change))  # type: ignore[arg-type]
    assert message in found


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (HttpTarget(""), "httpTarget.uri: '' must start with 'http://' or 'https://'"),
        (HttpTarget("ftp://x"), "httpTarget.uri: 'ftp://x' must start with"),
        (HttpTarget("http://"), "httpTarget.uri: 'http://' is not a URL"),
        (HttpTarget("http:///path"), "is not a URL"),
        (HttpTarget("http://x/a b"), "is not a URL"),
        (HttpTarget("http://x/\r\nHost: y"), "is not a URL"),
        (HttpTarget(f"http://x/{'y' * 2075}"), "it has more than 2083 characters"),
        (HttpTarget("http://x", method="TRACE"), "httpTarget.httpMethod: 'TRACE' is not a method"),
        (
            HttpTarget("http://x", method="GET", body=b"x"),
            "httpTarget.body: GET takes none; a body is allowed with POST, PUT, PATCH",
        ),
        (HttpTarget("http://x", body=b"x" * (1024 * 1024 + 1)), "1048577 bytes are too many"),
        (HttpTarget("http://x", headers=(("A", "1"), ("a", "2"))), "headers[a]: it is given twice"),
        (HttpTarget("http://x", headers=(("A B", "1"),)), "headers[A B]: this is not a name"),
        (HttpTarget("http://x", headers=(("A", "1\r\nB: 2"),)), "headers[A]: its value has a line"),
        (HttpTarget("http://x", headers=(("A", "x" * MAX_HEADERS),)), "81921 bytes are too many"),
        (HttpTarget("http://x", deadline=14), "attemptDeadline: 14s is not from 15s to 1800s"),
        (HttpTarget("http://x", deadline=1801), "attemptDeadline: 1801s is not"),
        (JobTarget(""), "jobTarget.job: it is empty"),
        (PubsubTarget("t", b"x"), "pubsubTarget.topicName: 't' is not a full name of a topic"),
        (
            PubsubTarget("projects/p/topics/t", b"x"),
            "pubsubTarget.topicName: 't' is not a name of a topic; allowed: 3 to 255",
        ),
        (PubsubTarget("projects/p/topics/t-1"), "a message needs data or an attribute"),
    ],
)
def test_a_target_out_of_bounds_is_named_with_what_is_allowed(target: Target, message: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        check_target(target)
    (violation,) = error.value.violations
    assert message in str(violation)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    bad = replace(
        GOOD, name="", expression="* *", time_zone="X", target=HttpTarget("x"), overlap_limit=0
    )
    fields = [problem.split(":")[0] for problem in problems(bad)]
    assert fields == ["name", "schedule", "timeZone", "httpTarget.uri", "overlapLimit"]


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_text_breaks_the_check(name: str, url: str, header: str) -> None:
    target = HttpTarget(url, headers=((header, url),))
    for problem in problems(replace(GOOD, name=name, target=target)):
        assert problem.isprintable()
