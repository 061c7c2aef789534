"""Values that are made quickly are no others."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass, fields

import pytest

from triggers.core.making import quick
from triggers.core.records import Delivery, DeliveryAttempt, HttpTarget, ManualRetry, SourceKind
from triggers.store.rows import DELIVERY

MADE = {
    "uid": "one",
    "project": "demo",
    "region": "us-central1",
    "source": SourceKind.MANUAL,
    "source_name": "",
    "key": "one",
    "target": HttpTarget("http://127.0.0.1/"),
    "retry": ManualRetry(),
    "hops": 3,
}


def test_a_value_made_quickly_equals_one_of_its_class() -> None:
    value = quick(Delivery)(**MADE)  # type: ignore[arg-type]
    assert value == Delivery(**MADE)  # type: ignore[arg-type]
    assert type(value) is Delivery
    assert hash(value) == hash(Delivery(**MADE))  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(value)) == value


def test_a_value_made_quickly_is_frozen() -> None:
    value = quick(DeliveryAttempt)("one", 1, 0.0)
    with pytest.raises(FrozenInstanceError):
        value.number = 2  # type: ignore[misc]


def test_a_value_made_quickly_wants_the_same_arguments() -> None:
    with pytest.raises(TypeError, match="started_at"):
        quick(DeliveryAttempt)("one", 1)  # type: ignore[call-arg]


def test_a_class_that_is_more_than_its_fields_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            assert self.number > 0

    with pytest.raises(TypeError, match="Checked"):
        quick(Checked)


def test_the_columns_of_a_delivery_stand_in_the_order_of_its_fields() -> None:
    assert DELIVERY.split() == [one.name for one in fields(Delivery)]
