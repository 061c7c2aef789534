"""Use cases of deliveries, in documents: what the API answers and the command line prints.

Every method that writes is called inside a transaction (:class:`jobrunner.ports.Commit`), or is one
of its own. Fields of queries and bodies are named as in the API; an unknown or broken one is an
InvalidSpec that names it.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from jobrunner.core.quantities import parse_duration
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import format_time, parse_time
from jobrunner.errors import InvalidSpec, Refused, Violation
from jobrunner.ports import Clock, Ids, Page
from triggers.core.overlap import Action
from triggers.core.records import (
    Ack,
    Delivery,
    HttpTarget,
    JobTarget,
    ManualRetry,
    OidcToken,
    SourceKind,
    Target,
)
from triggers.core.replays import replay_of
from triggers.core.retry import check_retry
from triggers.core.states import SETTLED_DELIVERIES, DeliveryState
from triggers.core.validation import check_target
from triggers.ports import Damaged, DeliveryFilter, DeliveryStore
from triggers.service import moves
from triggers.service.delivery_documents import Document, damaged, description, summary
from triggers.service.replaying import Replays

LETTERS = frozenset({DeliveryState.DEAD, DeliveryState.EXPIRED})
"""States of what was given up, and can be replayed."""
PAGE, LARGEST_PAGE = 100, 1000
REPLAYED_AT_ONCE = 500
PURGED_AT_ONCE = 1000
DEFAULT_RATE = "10/s"

_FILTERS = (
    "project",
    "region",
    "state",
    "source",
    "sourceName",
    "target",
    "olderThan",
    "newerThan",
)
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)/(s|min|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

E = TypeVar("E", bound=StrEnum)


class Deliveries:
    """``default`` is the project and region of queries that name none."""

    def __init__(
        self, store: DeliveryStore, replays: Replays, clock: Clock, ids: Ids, default: Scope
    ) -> None:
        self._store = store
        self._replays = replays
        self._clock = clock
        self._ids = ids
        self._default = default

    def over(self, store: DeliveryStore) -> Deliveries:
        """The same over another connection, to read."""
        return Deliveries(store, self._replays, self._clock, self._ids, self._default)

    # ------------------------------------------------------------ reads

    def listing(self, query: Mapping[str, Any]) -> Document:
        """A page, newest first: ``deliveries``, and ``nextPageToken`` unless it is the last. One
        that cannot be read is there with its uid and, as ``damaged``, the reason."""
        _known(query, (*_FILTERS, "pageSize", "pageToken"))
        size = min(_whole(query, "pageSize", 0) or PAGE, LARGEST_PAGE)
        page = Page(after=_text(query, "pageToken") or None, limit=size + 1)
        found = self._store.survey(self._filter(query), page=page)
        answer: Document = {"deliveries": [_line(one) for one in found[:size]]}
        if len(found) > size:
            answer["nextPageToken"] = found[size - 1].uid
        return answer

    def count(self, query: Mapping[str, Any]) -> Document:
        _known(query, _FILTERS)
        counts = self._store.count(self._filter(query))
        states = {state.value: number for state, number in counts.items()}
        return {"counts": states, "total": sum(states.values())}

    def describe(self, uid: str) -> Document:
        """Raises NotFound."""
        delivery = self._store.get(uid)
        return description(delivery, self._store.attempts(uid), self._store.replay_of(uid))

    # ------------------------------------------------------------ writes

    def send(self, body: Mapping[str, Any], *checks: Callable[[Target], None]) -> Document:
        """Opens a delivery by hand. The same ``key`` is sent once, and answered as it stands.
        ``checks`` raise what speaks against a target that is valid."""
        _known(body, ("project", "region", "key", "orderKey", "delay", "http", "job", "retry"))
        scope, now = self._scope(body), self._clock.now()
        target = _target(body, scope)
        check_target(target)
        retry = _retry(_mapping(body, "retry"))
        check_retry(retry, "retry")
        uid = self._ids.uid()
        delivery = Delivery(
            uid=uid,
            project=scope.project,
            region=scope.region,
            source=SourceKind.MANUAL,
            source_name="",
            key=_text(body, "key") or uid,
            target=target,
            retry=retry,
            order_key=_text(body, "orderKey") or None,
            created_at=now,
            queued_at=now,
            not_before=now + _duration(body, "delay", 0.0),
        )
        for check in checks:
            check(target)
        return summary(self._store.open(delivery))

    def withdraw(self, uid: str, by: str) -> Document:
        """Raises NotFound, and Refused for one that has settled."""
        delivery = self._store.get(uid)
        if delivery.state in SETTLED_DELIVERIES:
            raise Refused(f"Delivery '{uid}' has settled already: it is {delivery.state}.")
        move = moves.withdrawn(delivery, self._clock.now(), by)
        if self._store.record([move]) != [True]:
            raise Refused(f"Delivery '{uid}' has moved just now.", hint="Try it again.")
        return summary(move.after)

    def replay(self, body: Mapping[str, Any]) -> Document:
        """Replays one letter (``uid``) or those of a filter, the oldest first, at ``rate``: at most
        500 at once; with ``more`` the answer says to call again with ``after`` and ``startTime``
        as given. With ``dryRun`` nothing is stored. A letter is never replayed twice. One that
        cannot be read is left out, and listed as ``damaged``; what the overlap rule of its schedule
        holds back or forbids is listed as ``waiting`` or ``refused``."""
        _known(body, (*_FILTERS, "uid", "rate", "dryRun", "after", "startTime"))
        dry, now = _truth(body, "dryRun"), self._clock.now()
        gap = 1.0 / _rate(_text(body, "rate") or DEFAULT_RATE)
        start = max(now, _instant(body, "startTime", now))
        found = self._letters(body)
        fresh: list[Delivery] = []
        broken: list[Document] = []
        waiting: list[Document] = []
        refused: list[Document] = []
        self._replays.begin()
        for letter in found[:REPLAYED_AT_ONCE]:
            if isinstance(letter, Damaged):
                broken.append(damaged(letter))
                continue
            if self._store.replay_of(letter.uid) is not None:
                continue
            again = replay_of(letter, self._ids.uid(), now, start + gap * len(fresh))
            schedule = self._replays.rule(letter)
            if schedule is None:
                if dry or self._store.open(again).uid == again.uid:
                    fresh.append(again)
                continue
            if self._replays.waits(schedule, letter):
                if body.get("uid"):
                    raise Refused(f"A replay of delivery '{letter.uid}' waits already.")
                continue
            if dry:
                asked = self._replays.rehearse(schedule, letter, now)
            else:
                asked = self._replays.ask(schedule, letter, again.not_before, now)
            match asked.admission.action:
                case Action.OPEN:
                    fresh.append(replace(again, uid=asked.delivery or again.uid))
                case Action.WAIT:
                    waiting.append({"parent": letter.uid, "reason": asked.admission.reason})
                case Action.SKIP if body.get("uid"):
                    raise Refused(
                        f"Delivery '{letter.uid}' was not replayed: {asked.admission.reason}.",
                        hint="Replay it when that has ended.",
                    )
                case Action.SKIP:
                    refused.append({"uid": letter.uid, "reason": asked.admission.reason})
        answer: Document = {
            "dryRun": dry,
            "replayed": [
                {"parent": one.parent, "notBefore": format_time(one.not_before)}
                | ({} if dry else {"uid": one.uid})
                for one in fresh
            ],
            "replayedBefore": len(found[:REPLAYED_AT_ONCE])
            - (len(fresh) + len(broken) + len(waiting) + len(refused)),
        }
        if waiting:
            answer["waiting"] = waiting
        if refused:
            answer["refused"] = refused
        if broken:
            answer["damaged"] = broken
        if len(found) > REPLAYED_AT_ONCE:
            answer |= {
                "more": True,
                "after": found[REPLAYED_AT_ONCE - 1].uid,
                "startTime": format_time(start + gap * len(fresh)),
            }
        return answer

    def purge(self, body: Mapping[str, Any]) -> Document:
        """Removes settled deliveries (by default dead letters) that settled longer ago than
        ``olderThan``, at most 1000 at once; with ``more`` the answer says to call again."""
        _known(body, (*_FILTERS, "dryRun"))
        dry, now = _truth(body, "dryRun"), self._clock.now()
        before = now - _duration(body, "olderThan", 0.0)
        rest = {name: value for name, value in body.items() if name != "olderThan"}
        wanted = self._filter(rest)
        states = wanted.states or LETTERS
        unsettled = sorted(states - SETTLED_DELIVERIES)
        if unsettled:
            allowed = ", ".join(sorted(SETTLED_DELIVERIES))
            raise _broken("state", f"{unsettled[0]} has not settled; allowed: {allowed}")
        wanted = replace(wanted, states=states)
        if dry:
            gone = self._store.settled(wanted, settled_before=before)
            return {"dryRun": True, "deleted": gone}
        gone = self._store.purge(wanted, settled_before=before, limit=PURGED_AT_ONCE)
        return {"dryRun": False, "deleted": gone, "more": gone == PURGED_AT_ONCE}

    # ------------------------------------------------------------ parts

    def _letters(self, body: Mapping[str, Any]) -> list[Delivery | Damaged]:
        uid = _text(body, "uid")
        if uid:
            letter = self._store.get(uid)
            if letter.state not in LETTERS:
                raise Refused(
                    f"Delivery '{uid}' is {letter.state}: only one that was given up is replayed."
                )
            replay = self._store.replay_of(uid)
            if replay is not None:
                raise Refused(f"Delivery '{uid}' was replayed already, as '{replay.uid}'.")
            return [letter]
        wanted = self._filter(body)
        states = (wanted.states or LETTERS) & LETTERS
        if not states:
            allowed = ", ".join(sorted(LETTERS))
            raise _broken("state", f"only what was given up is replayed; allowed: {allowed}")
        page = Page(after=_text(body, "after") or None, limit=REPLAYED_AT_ONCE + 1)
        wanted = replace(wanted, states=states)
        return list(self._store.survey(wanted, page=page, oldest_first=True))

    def _scope(self, given: Mapping[str, Any]) -> Scope:
        default = self._default
        return Scope(
            _text(given, "project") or default.project, _text(given, "region") or default.region
        )

    def _filter(self, given: Mapping[str, Any]) -> DeliveryFilter:
        now = self._clock.now()
        older, newer = _text(given, "olderThan"), _text(given, "newerThan")
        states = [word for word in _text(given, "state").split(",") if word]
        scope = self._scope(given)
        source = _text(given, "source")
        return DeliveryFilter(
            project=scope.project,
            region=scope.region,
            states=frozenset(_one_of(DeliveryState, word.upper(), "state") for word in states)
            or None,
            source=_one_of(SourceKind, source, "source") if source else None,
            source_name=_text(given, "sourceName") or None,
            target=_text(given, "target") or None,
            created_before=now - _duration(given, "olderThan", 0.0) if older else None,
            created_from=now - _duration(given, "newerThan", 0.0) if newer else None,
        )


# ---------------------------------------------------------------- reading of fields


def _line(one: Delivery | Damaged) -> Document:
    return damaged(one) if isinstance(one, Damaged) else summary(one)


def _broken(field: str, message: str) -> InvalidSpec:
    return InvalidSpec([Violation(field, message)])


def _known(given: Mapping[str, Any], names: Iterable[str], under: str = "") -> None:
    allowed = set(names)
    for name in given:
        if name not in allowed:
            form = f"allowed: {', '.join(sorted(allowed))}"
            raise _broken(f"{under}{name}", f"there is no such field; {form}")


def _text(given: Mapping[str, Any], name: str, under: str = "") -> str:
    value = given.get(name, "")
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        raise _broken(f"{under}{name}", "it is not text")
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)


def _mapping(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name, {})
    if not isinstance(value, Mapping):
        raise _broken(name, "it is not an object")
    return value


def _truth(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise _broken(name, "it is not true or false")
    return value


def _whole(given: Mapping[str, Any], name: str, default: int, under: str = "") -> int:
    """A number, or its digits: query parameters are text."""
    value = given.get(name, default)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise _broken(f"{under}{name}", f"'{str(value)[:40]}' is not a whole number of 0 or more")
    return value


def _duration(given: Mapping[str, Any], name: str, default: float, under: str = "") -> float:
    text = _text(given, name, under)
    if not text:
        return default
    try:
        return parse_duration(text)
    except ValueError as error:
        raise _broken(f"{under}{name}", str(error)) from None


def _instant(given: Mapping[str, Any], name: str, default: float) -> float:
    text = _text(given, name)
    try:
        return parse_time(text) if text else default
    except ValueError as error:
        raise _broken(name, str(error)) from None


def _one_of(kind: type[E], text: str, field: str) -> E:
    try:
        return kind(text)
    except ValueError:
        allowed = ", ".join(kind)
        raise _broken(field, f"'{text[:40]}' is not allowed; allowed: {allowed}") from None


def _rate(text: str) -> float:
    """``10/s``, ``30/min``, ``5/h`` as a number per second."""
    match = _RATE.fullmatch(text)
    number = float(match[1]) if match else 0.0
    if match is None or number <= 0:
        raise _broken("rate", f"'{text[:40]}' is not a rate; allowed: NUMBER/s, /min or /h")
    return number / _UNITS[match[2]]


def _target(body: Mapping[str, Any], scope: Scope) -> Target:
    http, job = _mapping(body, "http"), _mapping(body, "job")
    if bool(http) is bool(job):
        raise _broken("", "a delivery has one target: http or job")
    if job:
        _known(job, ("name", "project", "region", "acknowledgedOn"), "job.")
        ack = _text(job, "acknowledgedOn", "job.") or Ack.ON_START.value
        return JobTarget(
            job=_text(job, "name", "job."),
            project=_text(job, "project", "job.") or scope.project,
            region=_text(job, "region", "job.") or scope.region,
            ack=_one_of(Ack, ack, "job.acknowledgedOn"),
        )
    known = ("url", "method", "headers", "body", "attemptDeadline", "serviceAccount", "audience")
    _known(http, known, "http.")
    headers = _mapping(http, "headers")
    try:
        data = b64decode(_text(http, "body", "http."), validate=True)
    except (binascii.Error, ValueError):
        raise _broken("http.body", "it is not base64") from None
    account = _text(http, "serviceAccount", "http.")
    audience = _text(http, "audience", "http.")
    return HttpTarget(
        url=_text(http, "url", "http."),
        method=_text(http, "method", "http.") or "POST",
        headers=tuple((name, _text(headers, name, "http.headers.")) for name in headers),
        body=data,
        token=OidcToken(account, audience) if account else None,
        deadline=_duration(http, "attemptDeadline", 180.0, "http."),
    )


def _retry(given: Mapping[str, Any]) -> ManualRetry:
    """Where a duration is given, and no count, only the duration is a limit."""
    known = ("retryCount", "maxRetryDuration", "minBackoff", "maxBackoff", "maxDoublings")
    _known(given, known, "retry.")
    default, longest = ManualRetry(), _duration(given, "maxRetryDuration", 0.0, "retry.")
    count = None
    if "retryCount" in given or not longest:
        count = _whole(given, "retryCount", default.retry_count or 0, "retry.")
    return ManualRetry(
        retry_count=count,
        max_retry_duration=longest,
        min_backoff=_duration(given, "minBackoff", default.min_backoff, "retry."),
        max_backoff=_duration(given, "maxBackoff", default.max_backoff, "retry."),
        max_doublings=_whole(given, "maxDoublings", default.max_doublings, "retry."),
    )
