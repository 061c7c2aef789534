"""The number of the attempt in envelopes: ours is told, and nobody's data is touched."""

import json
from typing import Any

import pytest

from tests.support.deliveries import a_delivery
from tests.support.subscriptions import a_message, a_subscription
from triggers.core.message_plans import plan_message
from triggers.core.records import HttpTarget, Payload, PushRetry, SourceKind
from triggers.core.subscriptions import AckPolicy, Wrapping
from triggers.senders.headers import body_of, headers_of


def sent(number: int, *, attempt: int | None = None, **fields: Any) -> bytes:
    subscription = a_subscription(retry=PushRetry(max_delivery_attempts=7), **fields)
    message = a_message(data=b'{"deliveryAttempt":1,', delivery_attempt=attempt)
    delivery = plan_message(subscription, message, now=0.0, uid="u").delivery
    assert delivery is not None
    assert isinstance(delivery.target, HttpTarget)
    return body_of(delivery, delivery.target, number)


@pytest.mark.parametrize("number", [1, 2, 17])
def test_an_envelope_of_ours_tells_which_attempt_it_is(number: int) -> None:
    assert json.loads(sent(number))["deliveryAttempt"] == number


def test_the_count_of_pubsub_stays_where_pubsub_retries() -> None:
    assert json.loads(sent(2, attempt=5, ack=AckPolicy.FINISHED))["deliveryAttempt"] == 5


@pytest.mark.parametrize("form", [Wrapping.UNWRAPPED, Wrapping.UNWRAPPED_METADATA])
def test_data_that_looks_like_an_envelope_is_left_alone(form: Wrapping) -> None:
    assert sent(4, sends=form) == b'{"deliveryAttempt":1,'


def test_what_is_kept_for_the_dead_letter_is_never_sent() -> None:
    headers = (("x-jobrunner-message", "{}"), ("Content-Type", "a/b"))
    delivery = a_delivery(payload=Payload(b"", headers), source=SourceKind.SUBSCRIPTION)
    assert isinstance(delivery.target, HttpTarget)
    names = {name.lower() for name in headers_of(delivery, delivery.target)}
    assert "content-type" in names
    assert "x-jobrunner-message" not in names
