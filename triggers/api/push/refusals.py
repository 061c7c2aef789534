"""Answers to a sender that is to try again, or never to: in Google's envelope."""

from __future__ import annotations

from jobrunner.calls import Answer

_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "ABORTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def refusal(code: int, message: str, *headers: tuple[str, str]) -> Answer:
    error = {"code": code, "message": message, "status": _NAMES[code]}
    return Answer({"error": error}, code, headers=headers)
