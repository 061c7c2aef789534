"""An answer is a fact; accept, retry or reject is its reading, by where the delivery is from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.states import ExecutionState
from triggers.core.records import Ack, DeliveryAttempt, Ruling, SourceKind
from triggers.core.verdict import (
    Answer,
    Break,
    Broken,
    Outcome,
    RunEnd,
    attempt_code,
    counts_as_response,
    judge,
    judge_start,
    previous_response,
    status_code,
)

K = SourceKind
PUSHED = [K.SUBSCRIPTION, K.EVENT_TRIGGER]
CALLED = [K.SCHEDULE, K.QUEUE, K.MANUAL]


@pytest.mark.parametrize("source", PUSHED)
def test_push_is_acknowledged_by_exactly_five_codes(source: SourceKind) -> None:
    accepted = [
        status for status in range(100, 600) if judge(source, Answer(status)).ruling == "accept"
    ]
    assert accepted == [102, 200, 201, 202, 204]


@pytest.mark.parametrize("source", CALLED)
def test_schedules_and_queues_accept_every_2xx_and_nothing_else(source: SourceKind) -> None:
    accepted = [
        status for status in range(100, 600) if judge(source, Answer(status)).ruling == "accept"
    ]
    assert accepted == list(range(200, 300))


@given(st.sampled_from(list(K)), st.integers(100, 599))
def test_no_status_is_ever_a_reason_to_give_up_at_once(source: SourceKind, status: int) -> None:
    assert judge(source, Answer(status)).ruling in {Ruling.ACCEPT, Ruling.RETRY}


@pytest.mark.parametrize("status", [429, 503])
def test_a_queue_slows_down_and_heeds_retry_after_for_429_and_503(status: int) -> None:
    verdict = judge(K.QUEUE, Answer(status, retry_after=7))
    assert (verdict.ruling, verdict.throttle, verdict.retry_after) == (Ruling.RETRY, True, 7)


def test_what_is_sent_by_hand_heeds_retry_after_and_slows_down_nothing_else() -> None:
    verdict = judge(K.MANUAL, Answer(503, retry_after=7))
    assert (verdict.ruling, verdict.throttle, verdict.retry_after) == (Ruling.RETRY, False, 7)


@pytest.mark.parametrize(
    ("source", "status"), [(K.QUEUE, 500), (K.SCHEDULE, 503), (K.SUBSCRIPTION, 429)]
)
def test_retry_after_is_not_heeded_elsewhere(source: SourceKind, status: int) -> None:
    verdict = judge(source, Answer(status, retry_after=7))
    assert (verdict.throttle, verdict.retry_after) == (False, None)


@pytest.mark.parametrize("source", list(K))
def test_an_answer_of_our_own_says_what_was_done_or_why_not(source: SourceKind) -> None:
    started = judge(source, Answer(200, words="execution j-1 was started"))
    assert (started.ruling, started.reason) == (Ruling.ACCEPT, "execution j-1 was started")
    refused = judge(source, Answer(404, words="there is no job named 'j'"))
    assert (refused.ruling, refused.reason) == (
        Ruling.RETRY,
        "HTTP 404: there is no job named 'j'",
    )


def test_a_success_that_push_does_not_take_says_which_it_takes() -> None:
    assert "203, which does not acknowledge" in judge(K.SUBSCRIPTION, Answer(203)).reason


@pytest.mark.parametrize("why", list(Break))
def test_no_answer_is_tried_again_unless_it_would_be_the_same_each_time(why: Break) -> None:
    verdict = judge(K.SCHEDULE, Broken(why))
    hopeless = why in {Break.FORBIDDEN, Break.UNUSABLE}
    assert verdict.ruling is (Ruling.REJECT if hopeless else Ruling.RETRY)
    assert verdict.reason


def test_what_went_wrong_is_said_in_its_own_words_where_there_are_some() -> None:
    assert judge(K.QUEUE, Broken(Break.CONNECT, "refused by ::1")).reason == "refused by ::1"


def test_acknowledged_on_start_a_job_target_is_accepted_when_its_execution_exists() -> None:
    verdict = judge_start("nightly-x", Ack.ON_START)
    assert verdict is not None
    assert verdict.ruling is Ruling.ACCEPT
    assert judge_start("nightly-x", Ack.ON_SUCCESS) is None


@pytest.mark.parametrize(
    ("state", "ruling"),
    [
        (ExecutionState.SUCCEEDED, Ruling.ACCEPT),
        (ExecutionState.FAILED, Ruling.RETRY),
        (ExecutionState.CANCELLED, Ruling.REJECT),
    ],
)
def test_followed_to_its_end_a_run_decides_and_a_cancelled_one_stays_cancelled(
    state: ExecutionState, ruling: Ruling
) -> None:
    verdict = judge(K.SCHEDULE, RunEnd("nightly-x", state))
    assert verdict.ruling is ruling
    assert "nightly-x" in verdict.reason


def test_a_run_that_has_not_ended_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="has not ended"):
        judge(K.SCHEDULE, RunEnd("nightly-x", ExecutionState.RUNNING))


def test_a_queue_counts_responses_as_production_was_seen_to_count_them() -> None:
    outcomes: list[Outcome] = [Answer(status) for status in (503, 404, 429, 500, 302)]
    counts, count = [], 0
    for outcome in outcomes:
        counts.append(count)
        count += counts_as_response(outcome)
    assert [*counts, count] == [0, 0, 1, 2, 2, 3]
    assert [previous_response(outcome) for outcome in outcomes] == [503, 404, 429, 500, 302]


def test_a_missed_deadline_counts_as_no_response_and_shows_as_504() -> None:
    missed = Broken(Break.DEADLINE)
    assert not counts_as_response(missed)
    assert previous_response(missed) == 504
    assert previous_response(Broken(Break.CONNECT)) is None


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Answer(204), 0),
        (Answer(302), 2),
        (Answer(400), 3),
        (Answer(401), 16),
        (Answer(403), 7),
        (Answer(404), 5),
        (Answer(409), 10),
        (Answer(418), 9),
        (Answer(429), 8),
        (Answer(500), 13),
        (Answer(501), 12),
        (Answer(503), 14),
        (Answer(504), 4),
        (Answer(599), 13),
        (Broken(Break.DEADLINE), 4),
        (Broken(Break.CONNECT), 14),
        (RunEnd("x", ExecutionState.SUCCEEDED), 0),
        (RunEnd("x", ExecutionState.FAILED), 10),
        (RunEnd("x", ExecutionState.CANCELLED), 1),
    ],
)
def test_the_status_of_an_attempt_has_the_code_of_the_contract(outcome: Outcome, code: int) -> None:
    assert status_code(outcome) == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ruling": Ruling.ACCEPT, "status": 200}, 0),
        ({"status": 503}, 14),
        ({"broken": Break.DEADLINE}, 4),
        ({"broken": Break.FORBIDDEN, "execution": "x"}, 7),
        ({"broken": Break.RESET}, 14),
        ({"execution": "x"}, 10),
        ({}, 14),
    ],
)
def test_an_attempt_on_record_has_the_same_code(fields: dict[str, Any], code: int) -> None:
    attempt = DeliveryAttempt("d", 1, 0.0, ended_at=1.0, **{"ruling": Ruling.RETRY, **fields})
    assert attempt_code(attempt) == code
