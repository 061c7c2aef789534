"""Who may come in: the owner by the key in the home, others by their tokens."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import lru_cache

from jobrunner.calls import Principal, Role
from jobrunner.service.tokens import Authenticator


@dataclass(frozen=True, slots=True)
class Doors:
    """``owner`` is whose server it is; ``key`` opens every door, and who can read it in the home is
    the owner. Without a token the owner is assumed on loopback, and everywhere if ``insecure``."""

    tokens: Authenticator
    owner: str
    key: str = field(repr=False)
    insecure: bool = False

    def __call__(self, token: str | None, loopback: bool) -> Principal | None:
        if token is None:
            return _owner(self.owner) if loopback or self.insecure else None
        if hmac.compare_digest(token.encode(), self.key.encode()):
            return _owner(self.owner)
        return self.tokens.authenticate(token)


@lru_cache(maxsize=8)
def _owner(name: str) -> Principal:
    return Principal(name, Role.ADMIN)
