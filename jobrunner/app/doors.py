"""Who may come in: the owner by the key in the home, others by their tokens."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

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
            return Principal(self.owner, Role.ADMIN) if loopback or self.insecure else None
        if hmac.compare_digest(token.encode(), self.key.encode()):
            return Principal(self.owner, Role.ADMIN)
        return self.tokens.authenticate(token)
