"""A sender of events is told by headers whether and how fast it may send."""

from __future__ import annotations

import pytest

from triggers.core.cloudevents.handshake import consent


def asked(origin: str = "emitter.example", rate: str | None = None) -> list[tuple[str, str]]:
    headers = [("webhook-request-origin", origin)]
    return headers if rate is None else [*headers, ("webhook-request-rate", rate)]


def test_an_origin_is_named_in_the_consent() -> None:
    assert dict(consent(asked())) == {
        "Allow": "POST, OPTIONS",
        "WebHook-Allowed-Origin": "emitter.example",
    }


@pytest.mark.parametrize(
    ("rate", "limit", "allowed"),
    [
        ("120", None, "120"),
        ("fast", None, "*"),
        ("120", 60, "60"),
        ("30", 60, "30"),
        ("0", 60, "1"),
        (None, 60, "60"),
        (None, None, None),
    ],
)
def test_a_rate_that_is_asked_for_is_answered(
    rate: str | None, limit: int | None, allowed: str | None
) -> None:
    answer = dict(consent(asked(rate=rate), per_minute=limit))
    assert answer.get("WebHook-Allowed-Rate") == allowed


def test_origins_that_may_not_send_get_no_consent() -> None:
    assert consent(asked(), origins=["other.example"]) == ()
    assert consent(asked(), origins=["Emitter.Example"])


@pytest.mark.parametrize("origin", ["", "a b", "x\r\ny", "ü"])
def test_what_is_no_origin_gets_no_consent(origin: str) -> None:
    assert consent(asked(origin)) == ()
    assert consent([]) == ()
