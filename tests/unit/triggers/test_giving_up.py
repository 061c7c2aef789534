"""What is given up is never silent: in the log of a server, and in the lines of ``up``."""

from dataclasses import replace

import pytest

from jobrunner.core.news import News
from tests.support.deliveries import a_delivery, an_attempt, moved
from triggers.cli.event_views import event_line, trigger_text
from triggers.core.records import EventRetry, Ruling, SourceKind
from triggers.core.states import DeliveryEvent, DeliveryState
from triggers.ports import Move
from triggers.service.giving_up import say_given_up
from triggers.service.reporting import delivery_news

WHY = "HTTP 500; retryCount 1 is used up"
HELD = a_delivery(state=DeliveryState.SENDING)


def rejected() -> Move:
    move = moved(HELD, DeliveryEvent.REJECTED, reason=WHY)
    attempt = an_attempt(HELD, status=500, ruling=Ruling.RETRY, error="HTTP 500")
    return replace(move, attempt=attempt)


def test_a_dead_letter_is_a_line_of_the_log_that_says_why(caplog: pytest.LogCaptureFixture) -> None:
    say_given_up([rejected()])
    assert caplog.messages == [
        f"Delivery {HELD.uid} (schedule s to sink.example.com:80) was given up: {WHY}"
    ]


def test_what_is_tried_again_is_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    say_given_up([moved(HELD, DeliveryEvent.RETRYABLE, reason=WHY)])
    assert caplog.messages == []


def test_what_pubsub_sends_again_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    source = SourceKind.SUBSCRIPTION
    one = replace(HELD, source=source, retry=EventRetry(max_attempts=1))
    say_given_up([moved(one, DeliveryEvent.EXHAUSTED, reason=WHY)])
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == []


def test_a_dead_letter_tells_its_last_answer_once() -> None:
    move = rejected()
    news: News = delivery_news(move.after, move.attempt)
    assert news.detail == f"→ sink.example.com:80  {WHY}"


def test_a_trigger_is_shown_with_what_its_job_gets() -> None:
    run = {"job": "thumb", "acknowledge": "success", "args": ["-n", "{{ data.name }}"],
           "env": {"A": "b"}, "tasks": 3, "taskTimeout": None}  # fmt: skip
    retry = {"maxAttempts": None, "minBackoff": "10s", "maxBackoff": "600s", "lifetime": "86400s"}
    shown = trigger_text(
        {
            "name": "t",
            "eventFilters": [],
            "expression": "",
            "channel": "",
            "transport": {"topic": ""},
            "destination": {"cloudRun": run},
            "serviceAccount": "",
            "retryPolicy": retry,
            "deadLetterPolicy": None,
            "deadline": "600s",
            "backlog": 1000,
            "labels": {},
            "conditions": {},
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
        }
    )
    found = dict(line.split(":", 1) for line in shown.splitlines())
    assert found["Args"].strip() == "-n '{{ data.name }}'"
    assert found["Variables"].strip() == "A=b"
    assert (found["Tasks"].strip(), found["Acknowledged"].strip()) == ("3", "on success")
    assert "Task timeout" not in found


def test_an_event_that_goes_round_says_why_nobody_gets_it() -> None:
    event = {"type": "t", "source": "//s", "id": "1", "jobrunnerhops": 9}
    entry = {"time": "2026-01-01T00:00:00Z", "position": 7, "channel": "", "triggers": []}
    told = "-> nobody: 9 events of our own led to it; more than 8 go round\n"
    assert event_line({**entry, "event": event}).endswith(told)
    assert event_line({**entry, "event": event | {"jobrunnerhops": 8}}).endswith("-> nobody\n")
