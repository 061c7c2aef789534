"""Tokens: who may call a server that is not only for its own machine.

A token is 256 random bits behind ``jrt_``, shown once. What is kept is its SHA-256: nobody can
guess a text of that many bits, so a slow hash, made for passwords, would cost each call and protect
nothing. Looking a hash up tells a stranger nothing by its time, because nobody can choose the hash
of a text; what was found is compared in constant time all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from jobrunner.calls import Principal, Role
from jobrunner.core.records import AuditEntry, Token
from jobrunner.errors import InvalidSpec, Violation
from jobrunner.ports import Commit, Ids, MachineClock, Store

T = TypeVar("T")

PREFIX = "jrt_"
BYTES = 32
REMEMBERED_SECONDS = 1.0
"""How long a token that another process revokes is still taken."""
TOUCH_SECONDS = 60.0
"""The last use of a token is known to about this."""
MOST_REMEMBERED = 10_000

_FORM = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class Tokens:
    """Create, list and revoke. ``actor`` is stored as creator and in the audit log."""

    def __init__(self, store: Store, clock: MachineClock, ids: Ids, *, actor: str) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._actor = actor

    def create(self, name: str, role: Role, *, lifetime: float | None = None) -> tuple[Token, str]:
        """A new token, and its text, which is nowhere else. ``lifetime`` in seconds. Raises
        InvalidSpec, or AlreadyExists if a living one has the name."""
        _check(name, lifetime, self._actor)
        text = PREFIX + secrets.token_urlsafe(BYTES)
        now = self._clock.now()
        token = Token(
            id=self._ids.uid(),
            name=name,
            role=int(role),
            hash=hashed(text),
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
            creator=self._actor,
        )

        def work() -> None:
            self._store.create_token(token)
            self._log("jobrunner.tokens.create", name, f"role {role.name.lower()}")

        _one(self._store, work)
        return token, text

    def list(self) -> Sequence[Token]:
        """All of them, revoked and expired ones too."""
        return self._store.list_tokens()

    def living(self) -> bool:
        """Whether anybody could call with a token."""
        now = self._clock.now()
        return any(token.lives(now) for token in self._store.list_tokens())

    def revoke(self, name: str) -> Token:
        """Raises NotFound if none of that name lives. Other processes take it for another second
        at most."""

        def work() -> Token:
            token = self._store.revoke_token(name, at=self._clock.now())
            self._log("jobrunner.tokens.revoke", name)
            return token

        return _one(self._store, work)

    def _log(self, method: str, name: str, detail: str = "") -> None:
        entry = AuditEntry(0, self._clock.now(), self._actor, method, f"tokens/{name}", 200, detail)
        self._store.append_audit([entry])


class Authenticator:
    """Tells who a token belongs to. Remembers for a second what the store says."""

    def __init__(self, store: Store, clock: MachineClock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[float, Token]] = {}
        self._used: dict[str, float] = {}
        self._written: dict[str, float] = {}

    def authenticate(self, text: str) -> Principal | None:
        """``None`` for a stranger: unknown, expired or revoked."""
        if not _FORM.fullmatch(text):
            return None
        token = self._find(hashed(text))
        now = self._clock.now()
        if token is None or not token.lives(now):
            return None
        last = max(self._written.get(token.id, 0.0), token.last_used_at or 0.0)
        if now - last >= TOUCH_SECONDS:
            self._used[token.id] = now
        return Principal(token.name, Role(token.role))

    def forget(self) -> None:
        """What was remembered is asked for again: something was revoked here."""
        self._known.clear()

    async def write(self, commit: Commit) -> None:
        """Stores when tokens were used last. To be called now and then, not for each call."""
        if not self._used:
            return
        used, self._used = self._used, {}

        def work() -> None:
            for id, at in used.items():
                self._store.touch_token(id, at=at)

        await commit(work)
        self._written.update(used)

    def _find(self, hash: str) -> Token | None:
        moment = self._clock.monotonic()
        read_at, token = self._known.get(hash, (0.0, None))
        if token is None or not 0.0 <= moment - read_at < REMEMBERED_SECONDS:
            token = self._store.find_token(hash)
            if token is None or not hmac.compare_digest(token.hash, hash):
                # Strangers are not remembered: they could fill the memory.
                self._known.pop(hash, None)
                return None
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[hash] = (moment, token)
        return token


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(name: str, lifetime: float | None, owner: str) -> None:
    problems = []
    if not _NAME.fullmatch(name):
        problems.append(
            Violation(
                "NAME",
                f"'{name}' is not a name of a token; allowed: 1 to 63 lower-case letters, digits"
                " and hyphens, beginning with a letter and not ending with a hyphen",
            )
        )
    if name == owner:
        problems.append(
            Violation(
                "NAME", f"'{name}' is who owns the server; records could not tell the two apart"
            )
        )
    if lifetime is not None and lifetime <= 0:
        problems.append(Violation("--expires", f"{lifetime:g} seconds is not above 0"))
    if problems:
        raise InvalidSpec(problems)


def _one(store: Store, work: Callable[[], T]) -> T:
    """Calls ``work`` in one transaction."""
    answer: T | None = None

    def keep() -> None:
        nonlocal answer
        answer = work()

    [error] = store.group([keep])
    if isinstance(error, Exception):
        raise error
    return cast("T", answer)
