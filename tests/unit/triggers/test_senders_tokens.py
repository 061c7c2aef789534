"""Keys of a server, the tokens they sign, and the documents that receivers check them by."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from google.auth import exceptions
from google.oauth2 import id_token

from jobrunner.errors import RunnerFault
from jobrunner.lib.clock import FakeClock, SystemClock
from jobrunner.ports import Clock
from tests.support.face import Face
from triggers.api.keys import DISCOVERY, JWKS, PEMS, key_methods
from triggers.core.records import OAuthToken, OidcToken
from triggers.senders.keyring import PUBLISH_FOR, ROTATE_AFTER, Keyring
from triggers.senders.tokens import FRESH, LIFETIME, LocalTokens, account_number

ISSUER = "http://127.0.0.1:8686"
EMAIL = "sa@p.iam.gserviceaccount.com"
AUDIENCE = "https://svc.example/run"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000_000_000.0)


def parts_of(token: str) -> list[Any]:
    padded = [part + "=" * (-len(part) % 4) for part in token.split(".")[:2]]
    return [json.loads(base64.urlsafe_b64decode(part)) for part in padded]


def make(home: Path, clock: Clock) -> tuple[Keyring, LocalTokens]:
    keyring = Keyring(str(home), clock)
    return keyring, LocalTokens(keyring, ISSUER, clock)


def files(home: Path) -> list[str]:
    return sorted(os.listdir(home / "keys"))


class Fetched:
    """What google-auth's verifier is given to fetch keys with: our own documents."""

    def __init__(self, keyring: Keyring) -> None:
        self._face = Face(key_methods(keyring, ISSUER))

    async def document(self, path: str) -> Any:
        said = await self._face.ask("GET", path)
        assert said.status == 200
        return said.body

    async def request(self, path: str) -> Any:
        body = await self.document(path)

        class Response:
            status = 200
            data = json.dumps(body).encode()

        return lambda url, method="GET", **more: Response()


async def test_the_claims_are_those_of_production_but_for_the_issuer(
    tmp_path: Path, clock: FakeClock
) -> None:
    keyring, tokens = make(tmp_path, clock)
    head, claims = parts_of(await tokens.bearer(OidcToken(EMAIL), AUDIENCE))
    assert head == {"alg": "RS256", "kid": keyring.signing().kid, "typ": "JWT"}
    number = account_number(EMAIL)
    assert claims == {
        "aud": AUDIENCE,
        "azp": number,
        "email": EMAIL,
        "email_verified": True,
        "exp": 1_000_003_600,
        "iat": 1_000_000_000,
        "iss": ISSUER,
        "sub": number,
    }
    assert len(number) == 21
    assert number.isdigit()


async def test_an_access_token_has_a_scope_and_no_audience(
    tmp_path: Path, clock: FakeClock
) -> None:
    _, tokens = make(tmp_path, clock)
    _, claims = parts_of(await tokens.bearer(OAuthToken(EMAIL, "https://scope"), AUDIENCE))
    assert claims["scope"] == "https://scope"
    assert claims["email"] == EMAIL
    assert "aud" not in claims


async def test_a_token_serves_until_shortly_before_its_end(
    tmp_path: Path, clock: FakeClock
) -> None:
    _, tokens = make(tmp_path, clock)
    first = await tokens.bearer(OidcToken(EMAIL), AUDIENCE)
    assert await tokens.bearer(OidcToken("other@x"), AUDIENCE) != first
    assert await tokens.bearer(OidcToken(EMAIL), "other") != first
    clock.advance(LIFETIME - FRESH)
    assert await tokens.bearer(OidcToken(EMAIL), AUDIENCE) == first
    clock.advance(1)
    assert await tokens.bearer(OidcToken(EMAIL), AUDIENCE) != first


@pytest.mark.parametrize("path", [JWKS, PEMS])
async def test_google_auth_verifies_our_tokens_by_both_documents(tmp_path: Path, path: str) -> None:
    keyring, tokens = make(tmp_path, SystemClock())
    token = await tokens.bearer(OidcToken(EMAIL), AUDIENCE)
    request = await Fetched(keyring).request(path)
    claims = id_token.verify_token(token, request, audience=AUDIENCE, certs_url=ISSUER + path)
    assert claims["email"] == EMAIL
    assert claims["iss"] == ISSUER
    with pytest.raises((pyjwt.InvalidAudienceError, exceptions.GoogleAuthError)):
        id_token.verify_token(token, request, audience="https://other", certs_url=ISSUER + path)
    forged = token[:-8] + "AAAAAAAA"
    with pytest.raises((pyjwt.InvalidSignatureError, exceptions.GoogleAuthError)):
        id_token.verify_token(forged, request, audience=AUDIENCE, certs_url=ISSUER + path)


async def test_the_discovery_document_leads_to_the_keys(tmp_path: Path) -> None:
    keyring, _ = make(tmp_path, SystemClock())
    documents = Fetched(keyring)
    found = await documents.document(DISCOVERY)
    assert found["issuer"] == ISSUER
    assert found["jwks_uri"] == ISSUER + JWKS
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    (key,) = (await documents.document(JWKS))["keys"]
    assert key["kid"] == keyring.signing().kid
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}, "and nothing private"


def test_the_documents_need_no_token() -> None:
    assert all(method.open for method in key_methods(Keyring("/nowhere", SystemClock()), ISSUER))


# ---------------------------------------------------------------- keys


def test_the_first_use_makes_a_key_that_others_cannot_read(
    tmp_path: Path, clock: FakeClock
) -> None:
    key = Keyring(str(tmp_path), clock).signing()
    (name,) = files(tmp_path)
    assert key.kid in name
    assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert Keyring(str(tmp_path), clock).signing().kid == key.kid, "and keeps it"


def test_a_key_is_never_shown(tmp_path: Path, clock: FakeClock) -> None:
    assert "PrivateKey" not in repr(Keyring(str(tmp_path), clock).signing())


async def test_tokens_of_before_a_rotation_are_verified_after_it(tmp_path: Path) -> None:
    keyring, tokens = make(tmp_path, SystemClock())
    token = await tokens.bearer(OidcToken(EMAIL), AUDIENCE)
    before = keyring.signing().kid
    after = keyring.rotate().kid
    assert [key.kid for key in keyring.public()] == [after, before]
    assert next(name for name in files(tmp_path) if before in name).endswith(".pub.pem")
    request = await Fetched(Keyring(str(tmp_path), SystemClock())).request(JWKS)
    assert id_token.verify_token(token, request, audience=AUDIENCE, certs_url="")["email"] == EMAIL


def test_an_old_key_is_replaced_and_forgotten_when_nothing_is_signed_by_it_any_more(
    tmp_path: Path, clock: FakeClock
) -> None:
    keyring = Keyring(str(tmp_path), clock)
    first = keyring.signing().kid
    clock.advance(ROTATE_AFTER)
    assert keyring.signing().kid == first
    clock.advance(1)
    second = keyring.signing().kid
    assert second != first
    clock.advance(PUBLISH_FOR + 1)
    third = keyring.rotate().kid
    assert [key.kid for key in keyring.public()] == [third, second]


def test_a_server_beside_this_one_may_rotate(tmp_path: Path, clock: FakeClock) -> None:
    ours, theirs = Keyring(str(tmp_path), clock), Keyring(str(tmp_path), clock)
    first = ours.signing().kid
    assert theirs.signing().kid == first
    second = theirs.rotate().kid
    assert ours.signing().kid == second
    assert [key.kid for key in ours.public()] == [second, first]


def test_a_clock_that_is_set_back_does_not_bring_an_old_key_back(
    tmp_path: Path, clock: FakeClock
) -> None:
    keyring = Keyring(str(tmp_path), clock)
    keyring.signing()
    clock.advance(-5000)
    newest = keyring.rotate().kid
    assert keyring.signing().kid == newest


def test_what_is_no_key_is_said_with_its_place(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "README").write_text("not looked at")
    path = tmp_path / "keys" / f"1-{'a' * 40}.pem"
    path.write_text("nonsense")
    with pytest.raises(RunnerFault, match="is not an RSA key") as caught:
        Keyring(str(tmp_path), SystemClock()).public()
    assert str(path) in caught.value.message


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(RunnerFault, match="cannot be used"):
        Keyring(str(tmp_path / "home"), clock).signing()
