"""Errors of an API of ours, read back as what was raised."""

import json

import pytest

from jobrunner.api.errors import UnknownPath, envelope, status_of
from jobrunner.client.documents import error_of
from jobrunner.errors import (
    AlreadyExists,
    Conflict,
    InvalidSpec,
    JobrunnerError,
    NotFound,
    Refused,
    RunnerFault,
    StoreFault,
    UsageError,
    Violation,
)


def read_back(error: JobrunnerError) -> JobrunnerError:
    return error_of(status_of(error).http, json.dumps(envelope(error)).encode())


@pytest.mark.parametrize("kind", [UsageError, NotFound, Refused, AlreadyExists, Conflict])
def test_what_a_method_raises_is_raised_here(kind: type[JobrunnerError]) -> None:
    found = read_back(kind("It is so.", hint="Do that."))
    assert (type(found), found.message, found.hint) == (kind, "It is so.", "Do that.")


def test_broken_fields_keep_their_names() -> None:
    found = read_back(InvalidSpec([Violation("spec.a", "no"), Violation("", "never")]))
    assert isinstance(found, InvalidSpec)
    assert found.violations == (Violation("spec.a", "no"), Violation("", "never"))


def test_a_server_without_the_method_is_of_another_version() -> None:
    found = read_back(UnknownPath("there is nothing at /jobrunner/v1/queues"))
    assert isinstance(found, RunnerFault)
    assert "another version" in found.message


def test_a_fault_of_the_server_is_one() -> None:
    found = read_back(StoreFault("the disk is full"))
    assert (type(found), "the disk is full" in found.message) == (RunnerFault, True)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"error": 1}', b'{"error": {}}'])
def test_an_answer_that_is_no_document_is_a_fault(answer: bytes) -> None:
    assert isinstance(error_of(502, answer), RunnerFault)
