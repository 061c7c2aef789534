"""Tokens: random, hashed at rest, forgotten within a second."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from jobrunner.calls import Principal, Role
from jobrunner.errors import AlreadyExists, InvalidSpec, NotFound
from jobrunner.lib.ids import CountedIds
from jobrunner.ports import Store
from jobrunner.service.tokens import Authenticator, Tokens, hashed
from jobrunner.store import open_store

T = TypeVar("T")


class HandClock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.wall = 1_750_000_000.0
        self.steady = 100.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def move(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite:///:memory:")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def tokens(store: Store, clock: HandClock) -> Tokens:
    return Tokens(store, clock, CountedIds(), actor="me")


@pytest.fixture
def gate(store: Store, clock: HandClock) -> Authenticator:
    return Authenticator(store, clock)


async def commit(work: Callable[[], T]) -> T:
    return work()


def test_a_token_has_256_random_bits_behind_a_prefix_that_tells_what_it_is(tokens: Tokens) -> None:
    texts = {tokens.create(f"t{i}", Role.VIEWER)[1] for i in range(50)}
    assert len(texts) == 50
    assert all(re.fullmatch(r"jrt_[A-Za-z0-9_-]{43}", text) for text in texts)


def test_what_is_stored_does_not_give_the_token_away(tokens: Tokens, store: Store) -> None:
    token, text = tokens.create("ci", Role.INVOKER)
    assert token.hash == hashed(text)
    shown = f"{store.list_tokens()} {store.list_audit()}"
    assert text not in shown
    assert token.hash not in shown


@pytest.mark.parametrize("role", list(Role))
def test_the_bearer_is_known_by_name_and_role(
    tokens: Tokens, gate: Authenticator, role: Role
) -> None:
    _, text = tokens.create("ci", role)
    assert gate.authenticate(text) == Principal("ci", role)


@pytest.mark.parametrize("text", ["", "jrt_", "x" * 47, "jrt_" + "a" * 43, "jrt_é", "\ud800"])
def test_strangers_are_nobody(tokens: Tokens, gate: Authenticator, text: str) -> None:
    tokens.create("ci", Role.ADMIN)
    assert gate.authenticate(text) is None


def test_a_token_that_differs_in_one_character_is_a_stranger(
    tokens: Tokens, gate: Authenticator
) -> None:
    _, text = tokens.create("ci", Role.ADMIN)
    other = "A" if text[-1] != "A" else "B"
    assert gate.authenticate(text[:-1] + other) is None
    assert gate.authenticate(text + "A") is None


def test_an_expired_token_is_refused_at_that_moment(
    tokens: Tokens, gate: Authenticator, clock: HandClock
) -> None:
    _, text = tokens.create("ci", Role.ADMIN, lifetime=10.0)
    clock.move(9.9)
    assert gate.authenticate(text) is not None
    clock.move(0.1)
    assert gate.authenticate(text) is None


def test_a_token_that_another_process_revokes_is_forgotten_within_a_second(
    tokens: Tokens, gate: Authenticator, clock: HandClock
) -> None:
    _, text = tokens.create("ci", Role.ADMIN)
    assert gate.authenticate(text) is not None
    tokens.revoke("ci")
    clock.move(0.9)
    assert gate.authenticate(text) is not None
    clock.move(0.1)
    assert gate.authenticate(text) is None


def test_a_token_revoked_here_is_forgotten_at_once(tokens: Tokens, gate: Authenticator) -> None:
    _, text = tokens.create("ci", Role.ADMIN)
    assert gate.authenticate(text) is not None
    tokens.revoke("ci")
    gate.forget()
    assert gate.authenticate(text) is None


def test_the_store_is_asked_once_a_second_and_not_for_each_call(
    tokens: Tokens, gate: Authenticator, store: Store, clock: HandClock
) -> None:
    _, text = tokens.create("ci", Role.ADMIN)
    asked: list[str] = []
    find = store.find_token
    store.find_token = lambda hash: asked.append(hash) or find(hash)  # type: ignore[method-assign, func-returns-value]
    for _ in range(30):
        gate.authenticate(text)
        clock.move(0.1)
    assert len(asked) == 3


def test_the_last_use_is_written_at_most_once_a_minute(
    tokens: Tokens, gate: Authenticator, clock: HandClock, store: Store
) -> None:
    _, text = tokens.create("ci", Role.ADMIN)
    written = []
    for _ in range(30):
        gate.authenticate(text)
        asyncio.run(gate.write(commit))
        written.append(store.list_tokens()[0].last_used_at)
        clock.move(10.0)
    assert len(set(written)) == 5


def test_a_role_a_lifetime_and_a_name_are_kept(tokens: Tokens, clock: HandClock) -> None:
    token, _ = tokens.create("ci", Role.INVOKER, lifetime=90.0)
    assert (token.role, token.expires_at, token.creator) == (2, clock.now() + 90, "me")
    assert list(tokens.list()) == [token]


@pytest.mark.parametrize("name", ["", "CI", "-a", "a-", "a b", "a" * 64, "a\n", "é"])
def test_a_name_that_is_none_is_refused_by_rule(tokens: Tokens, name: str) -> None:
    with pytest.raises(InvalidSpec, match="allowed: 1 to 63 lower-case letters"):
        tokens.create(name, Role.VIEWER)


def test_a_lifetime_of_nothing_is_refused(tokens: Tokens) -> None:
    with pytest.raises(InvalidSpec, match="--expires"):
        tokens.create("ci", Role.VIEWER, lifetime=0.0)


def test_creating_and_revoking_stand_in_the_audit_log_and_what_failed_does_not(
    tokens: Tokens, store: Store
) -> None:
    tokens.create("ci", Role.INVOKER)
    with pytest.raises(AlreadyExists):
        tokens.create("ci", Role.ADMIN)
    tokens.revoke("ci")
    with pytest.raises(NotFound):
        tokens.revoke("ci")
    assert [(e.actor, e.method, e.resource, e.detail) for e in store.list_audit()] == [
        ("me", "jobrunner.tokens.revoke", "tokens/ci", ""),
        ("me", "jobrunner.tokens.create", "tokens/ci", "role invoker"),
    ]


def test_living_says_whether_anybody_could_call(tokens: Tokens, clock: HandClock) -> None:
    assert not tokens.living()
    tokens.create("ci", Role.ADMIN, lifetime=5.0)
    assert tokens.living()
    clock.move(5.0)
    assert not tokens.living()


def test_a_token_is_not_named_as_the_owner(tokens: Tokens) -> None:
    with pytest.raises(InvalidSpec, match="'me' is who owns the server"):
        tokens.create("me", Role.VIEWER)
