"""Every error has one status, and nothing of a bug reaches the caller."""

import inspect
from types import ModuleType

import pytest

import jobrunner.api.errors as api_errors
import jobrunner.errors as errors
from jobrunner.api.errors import (
    TABLE,
    Bug,
    MethodNotAllowed,
    PermissionDenied,
    Status,
    TooLarge,
    Unauthenticated,
    details_of,
    envelope,
    known,
    status_of,
)
from jobrunner.errors import (
    AlreadyExists,
    AttemptVanished,
    BacklogFull,
    Conflict,
    Interrupted,
    InvalidSpec,
    JobrunnerError,
    NotFound,
    Refused,
    StaleWrite,
    StoreFault,
    UsageError,
    Violation,
)

# google.rpc.Code, and the HTTP codes that go with it: its own, and ours where it has none.
CODES = {
    "INVALID_ARGUMENT": (3, {400, 413, 415, 431}),
    "DEADLINE_EXCEEDED": (4, {504, 408}),
    "NOT_FOUND": (5, {404}),
    "ALREADY_EXISTS": (6, {409}),
    "PERMISSION_DENIED": (7, {403}),
    "RESOURCE_EXHAUSTED": (8, {429}),
    "FAILED_PRECONDITION": (9, {400}),
    "ABORTED": (10, {409}),
    "UNIMPLEMENTED": (12, {405}),
    "INTERNAL": (13, {500}),
    "UNAVAILABLE": (14, {503}),
    "UNAUTHENTICATED": (16, {401}),
}


def test_the_table_agrees_with_the_codes_of_google() -> None:
    for kind, status in TABLE.items():
        number, codes = CODES[status.name]
        assert status.grpc == number, kind
        assert status.http in codes, kind


@pytest.mark.parametrize("module", [errors, api_errors], ids=["errors", "api.errors"])
def test_every_class_of_error_finds_a_row(module: ModuleType) -> None:
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, JobrunnerError):
            assert isinstance(status_of(kind.__new__(kind)), Status)


@pytest.mark.parametrize(
    ("error", "http", "name"),
    [
        (InvalidSpec([Violation("a", "b")]), 400, "INVALID_ARGUMENT"),
        (UsageError("x"), 400, "INVALID_ARGUMENT"),
        (NotFound("x"), 404, "NOT_FOUND"),
        (AlreadyExists("x"), 409, "ALREADY_EXISTS"),
        (Conflict("x"), 409, "ABORTED"),
        (StaleWrite("x"), 409, "ABORTED"),
        (BacklogFull("x"), 429, "RESOURCE_EXHAUSTED"),
        (Refused("x"), 400, "FAILED_PRECONDITION"),
        (Interrupted("x"), 400, "FAILED_PRECONDITION"),
        (StoreFault("x"), 503, "UNAVAILABLE"),
        (AttemptVanished("x"), 503, "UNAVAILABLE"),
        (Unauthenticated("x"), 401, "UNAUTHENTICATED"),
        (PermissionDenied("x"), 403, "PERMISSION_DENIED"),
        (TooLarge("x"), 413, "INVALID_ARGUMENT"),
        (MethodNotAllowed("x", "GET"), 405, "UNIMPLEMENTED"),
        (Bug(), 500, "INTERNAL"),
    ],
)
def test_an_error_becomes_the_status_of_the_contract(
    error: JobrunnerError, http: int, name: str
) -> None:
    status = status_of(error)
    assert (status.http, status.name) == (http, name)


def test_the_envelope_is_googles() -> None:
    assert envelope(NotFound("no such job")) == {
        "error": {"code": 404, "message": "no such job", "status": "NOT_FOUND"}
    }


def test_broken_fields_are_listed_one_by_one() -> None:
    error = InvalidSpec([Violation("spec.a", "too small"), Violation("spec.b", "unknown")])
    said = envelope(error)["error"]
    assert said["message"] == "spec.a: too small\nspec.b: unknown"
    assert said["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [
                {"field": "spec.a", "description": "too small"},
                {"field": "spec.b", "description": "unknown"},
            ],
        }
    ]


def test_a_hint_is_a_link_of_help() -> None:
    assert details_of(Refused("no", hint="do this")) == [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "do this"}]}
    ]


def test_a_bug_says_its_number_and_nothing_else() -> None:
    bug = known(KeyError("the secret of the house"))
    assert isinstance(bug, Bug)
    assert bug.number in bug.message
    assert "secret" not in str(envelope(bug))


def test_an_error_of_ours_is_no_bug() -> None:
    error = NotFound("x")
    assert known(error) is error
