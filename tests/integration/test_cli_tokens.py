"""Tokens and the audit log from the command line."""

import json

import pytest

from tests.support.commands import jobrunner

pytestmark = pytest.mark.usefixtures("home")


def test_a_token_is_printed_once_and_its_hash_never() -> None:
    made = jobrunner("tokens", "create", "ci", "--role", "invoker", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    [text] = made.stdout.split()
    assert text.startswith("jrt_")
    assert "Token 'ci' (invoker) was made; it is not shown again. It expires at 2" in made.stderr
    assert text not in made.stderr
    listed = jobrunner("tokens", "list", "--format", "json")
    [token] = json.loads(listed.stdout)
    assert (token["name"], token["role"], token["revokedAt"]) == ("ci", "invoker", None)
    assert "hash" not in listed.stdout
    assert text not in listed.stdout


def test_names_are_taken_until_they_are_revoked_and_all_of_it_is_audited() -> None:
    assert jobrunner("tokens", "create", "ci", "--role", "viewer").returncode == 0
    again = jobrunner("tokens", "create", "ci", "--role", "viewer")
    assert again.returncode == 4
    assert "Hint: Revoke it first: jobrunner tokens revoke ci" in again.stderr
    assert jobrunner("tokens", "revoke", "ci").returncode == 0
    assert jobrunner("tokens", "revoke", "ci").returncode == 3
    assert jobrunner("tokens", "list").stdout == ""
    assert "revoked" in jobrunner("tokens", "list", "--all").stdout
    audit = json.loads(jobrunner("audit", "list", "--format", "json").stdout)
    assert [entry["method"] for entry in audit] == [
        "jobrunner.tokens.revoke",
        "jobrunner.tokens.create",
    ]
    assert len(jobrunner("audit", "list", "--limit", "1").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["CI", "--role", "viewer"], "'CI' is not a name of a token"),
        (["ci"], "--role"),
        (["ci", "--role", "owner"], "owner"),
        (["ci", "--role", "viewer", "--expires", "soon"], "soon"),
        (["ci", "--role", "viewer", "--expires", "0"], "--expires"),
    ],
)
def test_bad_values_are_named_and_make_nothing(words: list[str], says: str) -> None:
    made = jobrunner("tokens", "create", *words)
    assert made.returncode == 2
    assert says in made.stderr
    assert jobrunner("tokens", "list").stdout == ""
