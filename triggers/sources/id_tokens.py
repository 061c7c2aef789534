"""Checks who pushes: the signature of an ID token by the published keys of its issuer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jobrunner.ports import MachineClock
from triggers.core.id_tokens import (
    GOOGLE_ISSUERS,
    BadToken,
    Expected,
    check_claims,
    read_token,
)
from triggers.core.subscriptions import TokenCheck, TokenKeys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


class PublicKeys(Protocol):
    """The keys that tokens of one kind may be signed with."""

    async def find(self, kid: str) -> RSAPublicKey | None:
        """Raises RunnerFault where they cannot be had now."""
        ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """``issuer`` is this server's own."""

    keys: Mapping[TokenKeys, PublicKeys]
    issuer: str
    clock: MachineClock

    async def check(
        self,
        check: TokenCheck,
        text: str,
        audiences: Callable[[str], Collection[str]],
    ) -> None:
        """``audiences`` says for the audience of a token which would do where ``check`` names none.
        Raises BadToken, and RunnerFault where the keys cannot be had now."""
        token = read_token(text)
        own = check.keys is TokenKeys.OURS
        usual = (self.issuer,) if own else GOOGLE_ISSUERS
        said = token.claims.get("aud")
        expected = Expected(
            issuers=(check.issuer,) if check.issuer else usual,
            audiences=(check.audience,) if check.audience else audiences(str(said)),
            email=check.email,
        )
        # What says the wrong thing need not be signed: no key is fetched for it.
        check_claims(token.claims, expected, self.clock.now())
        key = await self.keys[check.keys].find(token.kid)
        if key is None:
            raise BadToken("its key is unknown")
        if not _signed(key, token.signature, token.signed):
            raise BadToken("its signature is wrong")


def _signed(key: RSAPublicKey, signature: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
