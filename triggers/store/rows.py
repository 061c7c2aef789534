"""Rows to values and back. The order of the columns is said once, here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import msgspec

from jobrunner.lib.database import Row, Session
from triggers.core.making import quick
from triggers.core.records import Break, Delivery, DeliveryAttempt, Ruling, SourceKind
from triggers.core.retry import ages_out_at
from triggers.core.states import DeliveryState
from triggers.ports import place_of
from triggers.store.documents import (
    decode_payload,
    decode_retry,
    decode_target,
    encode_payload,
    encode_retry,
    encode_target,
    unreadable,
)

# A look-up is three times as fast as calling the enumeration.
_STATES = {state.value: state for state in DeliveryState}
_SOURCES = {kind.value: kind for kind in SourceKind}
_RULINGS: dict[str | None, Ruling | None] = {ruling.value: ruling for ruling in Ruling}
_RULINGS[None] = None
_BREAKS: dict[str | None, Break | None] = {why.value: why for why in Break}
_BREAKS[None] = None
_delivery = quick(Delivery)


def columns(names: str) -> str:
    """``a b`` as ``a, b``."""
    return ", ".join(names.split())


def marks(names: str) -> str:
    return ", ".join("?" for _ in names.split())


def texts(several: Iterable[str]) -> str:
    """The parameter of ``session.texts``: no database takes any number of parameters at once."""
    return msgspec.json.encode(list(several)).decode()


def rows_of(session: Session, sql: str, keys: Iterable[str]) -> Sequence[Row]:
    """The rows of a statement with ``IN ({0})``, for as many keys as there are."""
    found = session.execute(sql.format(f"SELECT t FROM {session.texts}"), (texts(keys),))
    return found.fetchall()


def clean(text: str) -> str:
    """Text of a message as both databases take it: no NUL, no lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def lane_of(delivery: Delivery) -> str:
    """The source that a delivery is from: what gets its turn, and what keys are unique in. Digits
    and small letters, which every database puts into the same order."""
    return lane(delivery.project, delivery.region, delivery.source, delivery.source_name)


@lru_cache(maxsize=4096)
def lane(project: str, region: str, source: SourceKind, name: str) -> str:
    text = "\n".join((project, region, source.value, name))
    return blake2b(text.encode(), digest_size=12).hexdigest()


DELIVERY = (
    "uid project region source source_name key target retry payload order_key state created_at"
    " queued_at not_before first_attempt_at last_attempt_at attempts responses unknown last_status"
    " lease_owner lease_until run_try execution parent hops reason settled_at forced"
)
"""As the fields of the value, in their order."""
_PLACES = {name: place for place, name in enumerate(DELIVERY.split())}
_WIDTH = len(_PLACES)
_SOURCE, _TARGET, _RETRY = _PLACES["source"], _PLACES["target"], _PLACES["retry"]
_PAYLOAD, _FORCED = _PLACES["payload"], _PLACES["forced"]
ORDER_KEY, STATE, KEY = _PLACES["order_key"], _PLACES["state"], _PLACES["key"]
_TIMES = _PLACES["created_at"]
"""The first of the numbers; the last one is ``last_status``."""
FOUND = "lane place ages_out_at"
"""Columns beside those of the value, made from it when it is stored."""


def delivery_row(delivery: Delivery) -> tuple[object, ...]:
    """In the order of ``DELIVERY`` and ``FOUND``."""
    return (
        delivery.uid,
        delivery.project,
        delivery.region,
        delivery.source.value,
        delivery.source_name,
        delivery.key,
        encode_target(delivery.target),
        encode_retry(delivery.retry),
        encode_payload(delivery.payload),
        delivery.order_key,
        delivery.state.value,
        delivery.created_at,
        delivery.queued_at,
        delivery.not_before,
        delivery.first_attempt_at,
        delivery.last_attempt_at,
        delivery.attempts,
        delivery.responses,
        delivery.unknown,
        delivery.last_status,
        delivery.lease_owner,
        delivery.lease_until,
        delivery.run_try,
        delivery.execution,
        delivery.parent,
        delivery.hops,
        clean(delivery.reason),
        delivery.settled_at,
        delivery.forced,
        lane_of(delivery),
        place_of(delivery.target),
        ages_out_at(delivery.retry, delivery.queued_at),
    )


def delivery_of(row: Row) -> Delivery:
    """Raises StoreFault for one that is damaged."""
    try:
        return _delivery_of(row)
    except (KeyError, TypeError) as error:
        raise unreadable(str(error)) from error


def _delivery_of(row: Row) -> Delivery:
    values = list(row[:_WIDTH])
    created, queued, not_before, first, last, attempts, responses, unknown, status = row[
        _TIMES : _TIMES + 9
    ]
    # SQLite keeps text where numbers belong, if somebody writes it there; no sum is made of that.
    _ = created + queued + not_before + (first or 0) + (last or 0)
    _ = attempts + responses + unknown + (status or 0)
    values[_SOURCE] = _SOURCES[row[_SOURCE]]
    values[_TARGET] = decode_target(row[_TARGET])
    values[_RETRY] = decode_retry(row[_RETRY])
    values[_PAYLOAD] = decode_payload(row[_PAYLOAD])
    values[STATE] = _STATES[row[STATE]]
    values[_FORCED] = bool(row[_FORCED])
    return _delivery(*values)


ATTEMPT = (
    "delivery number started_at scheduled_at ended_at status ruling excerpt error execution"
    " retry_at broken"
)


def attempt_row(attempt: DeliveryAttempt) -> tuple[object, ...]:
    return (
        attempt.delivery,
        attempt.number,
        attempt.started_at,
        attempt.scheduled_at,
        attempt.ended_at,
        attempt.status,
        None if attempt.ruling is None else attempt.ruling.value,
        attempt.excerpt,
        clean(attempt.error),
        attempt.execution,
        attempt.retry_at,
        None if attempt.broken is None else attempt.broken.value,
    )


def attempt_of(row: Row) -> DeliveryAttempt:
    return DeliveryAttempt(
        delivery=row[0],
        number=row[1],
        started_at=row[2],
        scheduled_at=row[3],
        ended_at=row[4],
        status=row[5],
        ruling=_RULINGS[row[6]],
        excerpt=bytes(row[7]),
        error=row[8],
        execution=row[9],
        retry_at=row[10],
        broken=_BREAKS[row[11]],
    )
