"""The filter language of log entries."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.logfilter import MAX_DEPTH, Every, only, parse_filter, since, until
from jobrunner.core.timestamps import parse_time

ENTRY: dict[str, Any] = {
    "timestamp": "2026-11-21T00:18:03.250000Z",
    "receiveTimestamp": "2026-11-21T00:18:03.250000Z",
    "severity": "WARNING",
    "logName": "projects/demo/logs/run.googleapis.com%2Fstdout",
    "resource": {
        "type": "cloud_run_job",
        "labels": {"project_id": "demo", "location": "us-central1", "job_name": "nightly"},
    },
    "labels": {"run.googleapis.com/execution_name": "nightly-abcde", "team": "Data"},
    "jsonPayload": {"user": {"id": 7, "name": "Ada"}, "ok": True, "tags": ["red", "blue"]},
    "insertId": "abc",
}
GCLOUD = (
    "{user}resource.type = cloud_run_job \n AND resource.labels.job_name = nightly \n AND"
    " resource.labels.location = us-central1 \n AND severity >= DEFAULT \n"
    ' AND timestamp>="2026-11-20T00:19:02.256773Z"'
)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        (" \n ", True),
        (GCLOUD.format(user=""), True),
        (GCLOUD.format(user="severity>=ERROR AND "), False),
        (GCLOUD.format(user="jsonPayload.user.name:ada AND "), True),
        ("resource.labels.job_name = other", False),
        ('labels."run.googleapis.com/execution_name" = nightly-abcde', True),
        ('labels."run.googleapis.com/execution_name"="nightly-abcde"', True),
        ("labels.run.googleapis.com/execution_name=nightly-abcde", True),
        ("severity=WARNING", True),
        ("severity = warning", True),
        ("severity>WARNING", False),
        ("severity<ERROR", True),
        ("severity>=400", True),
        ("severity!=WARNING", False),
        ('timestamp>="2026-11-21T00:18:03.25Z"', True),
        ('timestamp>"2026-11-21T00:18:03.25Z"', False),
        ("timestamp<2026-11-21T00:18:04Z", True),
        ('timestamp>="2026-11-21"', True),
        ('timestamp<"2026-11-21T01:18:04+01:00"', True),
        ('logName="projects/demo/logs/run.googleapis.com%2Fstdout"', True),
        ("logName:stdout", True),
        ('log_id("run.googleapis.com/stdout")', True),
        ('log_id("run.googleapis.com/stderr")', False),
        ("jsonPayload.user.id=7", True),
        ("jsonPayload.user.id>6.5", True),
        ("jsonPayload.user.id:7", True),
        ("jsonPayload.user.id<x", False),
        ("jsonPayload.user.name=ADA", True),
        ("jsonPayload.user.name:d", True),
        ("jsonPayload.ok=true", True),
        ("jsonPayload.tags=blue", True),
        ("jsonPayload.tags=(green OR blue)", True),
        ("jsonPayload.tags=(red AND blue)", True),
        ("jsonPayload.tags=(red AND green)", False),
        ("jsonPayload.user:*", True),
        ("jsonPayload.nobody:*", False),
        ("jsonPayload.nobody!=x", False),
        ("NOT jsonPayload.nobody=x", True),
        ("-severity=WARNING", False),
        ("textPayload:x", False),
        ('textPayload:"x" OR severity=WARNING', True),
        ("severity=ERROR OR team", True),
        ("Ada", True),
        ('"ada"', True),
        ("nobody", False),
        ("ada red", True),
        ("ada green", False),
        ("severity=ERROR OR severity=WARNING AND insertId=xyz", False),
        ("(severity=ERROR AND insertId=xyz) OR insertId=abc", True),
        ("NOT (severity=ERROR OR insertId=xyz)", True),
        ("severity=WARNING -- AND insertId=xyz\nAND insertId=abc", True),
        ('labels.team="data"', True),
        ("labels:team", True),
    ],
)
def test_a_filter_passes_what_cloud_logging_would(text: str, passes: bool) -> None:
    assert parse_filter(text).holds(ENTRY) is passes


def test_escapes_in_quotes_are_read() -> None:
    found = parse_filter(r'textPayload="a \"b\" \\ \n c"')
    assert found.holds({"textPayload": 'a "b" \\ \n c'})
    assert parse_filter("textPayload:'it\\'s'").holds({"textPayload": "IT'S"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour=red", "a field was expected at 'colour=red'"),
        ("severity=", "a value was expected at the end"),
        ("severity=LOUD", "'LOUD' is not a severity; allowed: DEFAULT, DEBUG"),
        ("timestamp>yesterday", "'yesterday' is not a time"),
        ("(severity=ERROR", "')' was expected at the end"),
        ("severity=ERROR)", "AND, OR or the end was expected at ')'"),
        ("AND", "a comparison was expected at 'AND'"),
        ("severity=ERROR AND", "a comparison was expected at the end"),
        ("severity=ERROR OR", "a comparison was expected at the end"),
        ("NOT", "a comparison was expected at the end"),
        ('textPayload=~"a+"', "an operator other than a regular expression's was expected"),
        ("sample(insertId, 0.1)", "a comparison was expected at 'sample(insertId, 0.1)'"),
        ('textPayload="open', "a value was expected"),
        ("=x", "a field was expected at '=x'"),
        ("severity=(ERROR OR INFO", "')' was expected at the end"),
    ],
)
def test_what_is_not_understood_is_named_with_what_is(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_filter(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ['textPayload:"\0"', '"\udfff"'])
def test_what_no_database_can_be_asked_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUL character, or half of one"):
        parse_filter(text)


def test_depth_and_length_are_bounded() -> None:
    deep = MAX_DEPTH + 5
    with pytest.raises(ValueError, match="nested deeper"):
        parse_filter("(" * deep + "a" + ")" * deep)
    with pytest.raises(ValueError, match="nested deeper"):
        parse_filter("NOT " * deep + "a")
    with pytest.raises(ValueError, match="longer than"):
        parse_filter("a" * 20_001)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            ["severity", "=", ">=", ":", "ERROR", "(", ")", "AND", "OR", "NOT", "-", '"x"',
             "labels", ".", '"a.b"', "timestamp", "2026-11-21", "*", "\n", "--", "log_id",
             "textPayload"]
        ),
        max_size=12,
    ).map(" ".join)
)  # fmt: skip
def test_any_text_is_a_filter_or_a_sentence(text: str) -> None:
    found: Any = Every()
    with contextlib.suppress(ValueError):
        found = parse_filter(text)
    assert found.holds(ENTRY) in (True, False)
    only(found, "resource", "labels", "job_name")
    since(found)
    until(found)


def test_a_filter_says_beforehand_which_values_can_pass() -> None:
    job = ("resource", "labels", "job_name")
    for text, values in (
        (GCLOUD.format(user=""), {"nightly"}),
        ("severity=ERROR", None),
        ("resource.labels.job_name=(A OR b)", {"a", "b"}),
        ("resource.labels.job_name=a OR resource.labels.job_name=b", {"a", "b"}),
        ("resource.labels.job_name=a OR severity=ERROR", None),
        ("resource.labels.job_name=a AND resource.labels.job_name=b", set()),
        ("NOT resource.labels.job_name=a", None),
        ("resource.labels.job_name!=a", None),
        ("resource.labels.job_name:a", None),
    ):
        assert only(parse_filter(text), *job) == values, text


def test_a_filter_says_beforehand_which_times_can_pass() -> None:
    early, late = "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"
    both = parse_filter(f'timestamp>="{early}" timestamp<"{late}" severity=ERROR')
    assert (since(both), until(both)) == (parse_time(early), parse_time(late))
    either = parse_filter(f'timestamp>="{early}" OR timestamp>"{late}"')
    assert (since(either), until(either)) == (parse_time(early), None)
    assert since(parse_filter(f'timestamp>="{early}" OR severity=ERROR')) is None
    assert since(parse_filter(f'NOT timestamp>="{early}"')) is None
