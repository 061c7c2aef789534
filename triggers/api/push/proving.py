"""Who may push to a subscription.

A subscription says itself what a sender must show: a ``?token=``, an ID token, or both. Where it
says nothing the tokens of the server decide: as long as there is one, a sender must show one with
the role invoker; without any, whoever may call the server may push.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from jobrunner.calls import Answer, Call, Principal, Raw, Role
from jobrunner.errors import RunnerFault, StoreFault
from jobrunner.ports import MachineClock
from triggers.api.push.refusals import refusal
from triggers.core.id_tokens import BadToken
from triggers.core.subscriptions import Subscription
from triggers.sources.id_tokens import Verifier

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)
_WHO = ("WWW-Authenticate", "Bearer")
_INVALID = ("WWW-Authenticate", 'Bearer error="invalid_token"')
LIVING_SECONDS = 1.0
"""How soon the first token of a server closes the door."""


Admit = Callable[[str | None], Principal | None]


class Prover:
    """``admit`` says who calls by a token of the server, or without one; ``living`` whether there
    is any token."""

    def __init__(
        self, verifier: Verifier, admit: Admit, living: Callable[[], bool], clock: MachineClock
    ) -> None:
        self._verifier = verifier
        self._admit = admit
        self._living = living
        self._clock = clock
        self._known: tuple[float, bool] | None = None

    async def refused(self, subscription: Subscription, call: Call) -> Answer | None:
        """The answer to somebody who has not shown what is asked; ``None`` for who may go on."""
        raw = call.raw or Raw()
        if subscription.secret_hash and not _knows(subscription.secret_hash, call):
            return refusal(401, "the parameter 'token' is missing or wrong", _WHO)
        if subscription.token is not None:
            return await self._checked(subscription, raw)
        return None if subscription.secret_hash else self._let_in(raw)

    async def _checked(self, subscription: Subscription, raw: Raw) -> Answer | None:
        assert subscription.token is not None
        text = _bearer(raw)
        if text is None:
            return refusal(401, "the header 'Authorization: Bearer TOKEN' is missing", _WHO)

        def audiences(said: str) -> tuple[str, ...]:
            return (said,) if _is_endpoint(said, subscription, raw) else ()

        try:
            await self._verifier.check(subscription.token, text, audiences)
        except BadToken as error:
            return refusal(401, f"the token is refused: {error}", _INVALID)
        except RunnerFault as error:
            return refusal(503, error.message, ("Retry-After", "5"))
        return None

    def _let_in(self, raw: Raw) -> Answer | None:
        try:
            guarded = self._guarded()
            principal = self._admit(_bearer(raw) or "" if guarded else None)
        except StoreFault:
            return refusal(503, "tokens cannot be looked up now", ("Retry-After", "1"))
        if principal is None:
            text = "this server wants a token: 'Authorization: Bearer TOKEN', or a push token"
            return refusal(401, text, _WHO)
        if principal.role < Role.INVOKER:
            return refusal(403, f"'{principal.name}' may not push; the role invoker is needed")
        return None

    def _guarded(self) -> bool:
        moment = self._clock.monotonic()
        if self._known is None or not 0.0 <= moment - self._known[0] < LIVING_SECONDS:
            self._known = moment, self._living()
        return self._known[1]


def secret_hash(text: str) -> str:
    """What is kept of a push token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _knows(wanted: str, call: Call) -> bool:
    return hmac.compare_digest(secret_hash(call.params.get("token", "")), wanted)


def _bearer(raw: Raw) -> str | None:
    header = raw.header(b"authorization")
    read = None if header is None else _BEARER.fullmatch(header.decode("latin-1").strip())
    return None if read is None else read[1]


def _is_endpoint(audience: str, subscription: Subscription, raw: Raw) -> bool:
    """Whether it is the URL that this push went to, as far as the host that the request names, the
    path and the name go. The scheme may be another in front of a proxy."""
    try:
        parts = urlsplit(audience)
    except ValueError:
        return False
    host = (raw.header(b"host") or b"").decode("latin-1").lower()
    paths = (
        f"/push/{subscription.name}",
        f"/push/{subscription.project}/{subscription.region}/{subscription.name}",
    )
    same = bool(host) and parts.netloc.lower() == host
    return parts.scheme in ("http", "https") and same and unquote(parts.path) in paths
