"""Our own documents of schedules: what is written reads as what it was."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.errors import InvalidSpec
from triggers.api.schedules.reading import NEW, in_scope, schedule_of, settings_of
from triggers.api.schedules.writing import schedule_document
from triggers.core.records import (
    Ack,
    CatchUp,
    Gap,
    HttpTarget,
    JobTarget,
    OAuthToken,
    OidcToken,
    Overlap,
    OverlapScope,
    PubsubTarget,
    Repeat,
    Schedule,
    ScheduleRetry,
    ScheduleState,
)
from triggers.service.schedules import Seen

TEXT = st.text(max_size=8)
NAME = st.text(alphabet="abcXYZ-", min_size=1, max_size=8)
PAIRS = st.dictionaries(NAME, TEXT, max_size=3).map(lambda found: tuple(found.items()))
AT = st.integers(0, 4_000_000_000).map(float)
SECONDS = st.integers(1, 10**6).map(lambda micros: micros / 1000)

HTTP = st.builds(
    HttpTarget,
    url=TEXT,
    method=st.sampled_from(["POST", "GET", "PUT"]),
    headers=PAIRS,
    body=st.binary(max_size=9),
    token=st.none() | st.builds(OidcToken, NAME, TEXT) | st.builds(OAuthToken, NAME, NAME),
    deadline=SECONDS,
)
ENV = st.dictionaries(NAME, TEXT, max_size=2).map(
    lambda found: tuple(EnvVar(name, value) for name, value in found.items())
)
CONTAINER = st.builds(ContainerOverride, args=st.lists(TEXT, max_size=2).map(tuple), env=ENV)
OVERRIDES = st.builds(
    Overrides,
    containers=CONTAINER.map(lambda one: () if one == ContainerOverride() else (one,)),
    task_count=st.none() | st.integers(1, 100),
    timeout=st.none() | SECONDS,
)
JOB = st.builds(
    JobTarget, job=NAME, project=NAME, region=NAME, overrides=OVERRIDES, ack=st.sampled_from(Ack)
)
TOPIC = st.builds(PubsubTarget, topic=NAME, data=st.binary(max_size=9), attributes=PAIRS)
RETRY = st.builds(
    ScheduleRetry,
    retry_count=st.integers(0, 5),
    max_retry_duration=SECONDS,
    min_backoff=SECONDS,
    max_backoff=SECONDS,
    max_doublings=st.integers(0, 16),
)
SCHEDULES = st.builds(
    Schedule,
    uid=NAME,
    project=NAME,
    region=NAME,
    name=NAME,
    expression=TEXT,
    target=HTTP | JOB | TOPIC,
    time_zone=NAME,
    description=TEXT,
    retry=RETRY,
    state=st.sampled_from(ScheduleState),
    gap=st.none() | st.sampled_from(Gap),
    repeat=st.none() | st.sampled_from(Repeat),
    overlap=st.none() | st.sampled_from(Overlap),
    overlap_limit=st.integers(1, 9),
    overlap_scope=st.sampled_from(OverlapScope),
    catch_up=st.sampled_from(CatchUp),
    catch_up_limit=st.integers(1, 9),
    catch_up_window=st.none() | SECONDS,
    spread=st.integers(0, 99),
    jitter=st.just(0.0) | SECONDS,
    anchor=AT,
    armed_from=AT,
    starts_at=st.none() | AT,
    ends_at=st.none() | AT,
    pause_after=st.none() | st.integers(1, 9),
    failures=st.integers(0, 9),
    created_at=AT,
    updated_at=AT,
    resource_version=st.integers(1, 99),
)


@given(SCHEDULES)
def test_a_schedule_is_read_back_from_its_document(schedule: Schedule) -> None:
    text = json.dumps(schedule_document(Seen(schedule, None)))
    assert schedule_of(json.loads(text)) == schedule


def test_what_a_newer_server_says_is_not_looked_at() -> None:
    document = schedule_document(Seen(NEW, None)) | {"mood": "good"}
    assert schedule_of(document) == NEW


def read(**spec: object) -> dict[str, object]:
    problems = Problems()
    settings = settings_of(Node(spec, "spec", problems), problems)
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return settings


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "spec: there is none; allowed: one of httpTarget, jobTarget and pubsubTarget"),
        (
            {"jobTarget": {"job": "a"}, "httpTarget": {"uri": "http://a"}},
            "spec: httpTarget and jobTarget are set",
        ),
        (
            {"jobTarget": {"job": "a"}, "attemptDeadline": "30s"},
            "spec.attemptDeadline: it is for an httpTarget",
        ),
        ({"jobTarget": {"job": "a", "tasks": "two"}}, "spec.jobTarget.tasks: 'two' is not"),
    ],
)
def test_what_is_wrong_is_named(spec: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read(**spec)
    assert says in caught.value.message


def test_a_short_name_of_a_topic_is_one_of_the_project() -> None:
    settings = read(pubsubTarget={"topicName": "reports", "data": "aGk="})
    place = replace(NEW, project="p", region="r").scope
    target = in_scope(settings, place)["target"]
    assert target == PubsubTarget("projects/p/topics/reports", b"hi")
