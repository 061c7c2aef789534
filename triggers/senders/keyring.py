"""The keys of a server: RSA, made at first use, kept in the home, readable by its user only.

::

    $JOBRUNNER_HOME/keys/SECONDS-KID.pem       the private key; the newest one signs
    $JOBRUNNER_HOME/keys/SECONDS-KID.pub.pem   the public half of a key that signs no more

Several servers of one home need no agreement: each publishes all that is there, and signs with the
newest that it sees.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobrunner.errors import RunnerFault
from jobrunner.ports import MachineClock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

DIRECTORY = "keys"
BITS = 2048
ROTATE_AFTER = 90 * 86_400.0
"""Age at which a key is replaced by the next token that is made."""
PUBLISH_FOR = 2 * 86_400.0
"""How long a public key stays after its successor was made: far longer than a token lives."""

_FILE = re.compile(r"(?P<made>[0-9]{1,12})-(?P<kid>[0-9a-f]{40})(?P<public>\.pub)?\.pem")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``made`` in Unix seconds."""

    kid: str
    made: int
    key: RSAPublicKey

    def jwk(self) -> dict[str, str]:
        numbers = self.key.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _base64_of(numbers.n),
            "e": _base64_of(numbers.e),
        }

    def pem(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        text = self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return text.decode("ascii")


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    made: int
    key: RSAPrivateKey = field(repr=False)

    def sign(self, text: bytes) -> bytes:
        """RS256."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return self.key.sign(text, PKCS1v15(), SHA256())


class PublishedKeys:
    """What a receiver of our tokens finds; see :class:`triggers.sources.id_tokens.PublicKeys`."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def find(self, kid: str) -> RSAPublicKey | None:
        return next((one.key for one in self._keyring.public() if one.kid == kid), None)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kid: str
    made: int
    public: bool


class Keyring:
    """The keys of one home. Every method raises RunnerFault where the files cannot be used."""

    def __init__(self, home: str, clock: MachineClock) -> None:
        self._directory = os.path.join(home, DIRECTORY)
        self._clock = clock
        self._read: dict[str, PublicKey] = {}
        self._signing: SigningKey | None = None

    def signing(self) -> SigningKey:
        """The key to sign with now: the newest, or a new one where that has grown old."""
        newest = max(
            (entry for entry in self._entries() if not entry.public),
            key=lambda entry: (entry.made, entry.kid),
            default=None,
        )
        if newest is None or self._clock.now() - newest.made > ROTATE_AFTER:
            return self.rotate()
        if self._signing is None or self._signing.kid != newest.kid:
            self._signing = SigningKey(newest.kid, newest.made, self._private(newest.name))
        return self._signing

    def public(self) -> Sequence[PublicKey]:
        """Every key that a living token may be signed with, newest first. Makes the first one, so
        that a receiver who looks early sees what it will meet."""
        entries = self._entries()
        if not entries:
            self.signing()
            entries = self._entries()
        found = {entry.kid: self._public(entry) for entry in entries}
        return sorted(found.values(), key=lambda key: (key.made, key.kid), reverse=True)

    def rotate(self) -> SigningKey:
        """Makes a new key. Of the earlier ones the public halves stay published for a while."""
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        earlier = self._entries()
        key = generate_private_key(public_exponent=65537, key_size=BITS)
        made, kid = int(self._clock.now()), _kid_of(key.public_key())
        if earlier:
            # By the clock of this machine, which may have been set back.
            made = max(made, 1 + max(entry.made for entry in earlier))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._write(f"{made}-{kid}.pem", text)
        for entry in earlier:
            self._retire(entry, made)
        self._signing = SigningKey(kid, made, key)
        return self._signing

    def _retire(self, entry: _Entry, now: int) -> None:
        """The file of a public half tells by its time of change since when it signs no more."""
        if not entry.public:
            half = self._public(entry).pem().encode("ascii")
            self._write(f"{entry.made}-{entry.kid}.pub.pem", half, since=now)
            self._remove(entry.name)
            return
        try:
            retired = os.stat(os.path.join(self._directory, entry.name)).st_mtime
        except FileNotFoundError:
            return
        if now - retired > PUBLISH_FOR:
            self._remove(entry.name)

    # ------------------------------------------------------------ files

    def _entries(self) -> list[_Entry]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._fault(error) from None
        matches = [match for name in names if (match := _FILE.fullmatch(name))]
        return [_Entry(m[0], m["kid"], int(m["made"]), bool(m["public"])) for m in matches]

    def _public(self, entry: _Entry) -> PublicKey:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        known = self._read.get(entry.kid)
        if known is None:
            if entry.public:
                key = self._loaded(entry.name, load_pem_public_key)
                if not isinstance(key, RSAPublicKey):
                    raise self._no_key(entry.name)
            else:
                key = self._private(entry.name).public_key()
            known = self._read[entry.kid] = PublicKey(entry.kid, entry.made, key)
        return known

    def _private(self, name: str) -> RSAPrivateKey:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = self._loaded(name, lambda text: load_pem_private_key(text, password=None))
        if not isinstance(key, RSAPrivateKey):
            raise self._no_key(name)
        return key

    def _loaded(self, name: str, load: Any) -> Any:
        try:
            with open(os.path.join(self._directory, name), "rb") as file:
                return load(file.read(100_000))
        except OSError as error:
            raise self._fault(error) from None
        except (ValueError, TypeError):
            raise self._no_key(name) from None

    def _write(self, name: str, text: bytes, *, since: float | None = None) -> None:
        """In one step, mode 0600, and on the disk when this returns: a token that nobody can check
        after a loss of power would be refused for an hour."""
        path = os.path.join(self._directory, name)
        draft = f"{path}.{os.getpid()}"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)
            if since is not None:
                os.utime(draft, (since, since))
            os.replace(draft, path)
        except OSError as error:
            raise self._fault(error) from None

    def _remove(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self._directory, name))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._fault(error) from None

    def _fault(self, error: OSError) -> RunnerFault:
        where = error.filename or self._directory
        return RunnerFault(f"The keys of this server cannot be used: {where}: {error.strerror}.")

    def _no_key(self, name: str) -> RunnerFault:
        path = os.path.join(self._directory, name)
        return RunnerFault(
            f"{path} is not an RSA key in PEM.",
            hint="Remove the file; without any a new key is made.",
        )


def _kid_of(key: RSAPublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:40]


def _base64_of(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
