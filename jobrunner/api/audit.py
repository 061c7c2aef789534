"""What the faces tell the audit log: who called which method about what, and what came of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from jobrunner.calls import Answer, Call, Method, Principal

log = logging.getLogger(__name__)

NOBODY = Principal("")
"""Whoever has not proved who they are."""

LONGEST_NAME = 200

_VARIABLE = re.compile(r"\{(\w+)\}")


class Audit(Protocol):
    """Told of every call of a method that changes something, refused ones included, if the caller
    is known: strangers must not fill the disk. ``at`` is in Unix seconds, ``resource`` what the
    call is about (its path over HTTP, with the name of what it creates), ``code`` the HTTP status,
    ``detail`` the execution that it has opened, or that nothing was changed."""

    def __call__(
        self, at: float, principal: str, method: str, resource: str, code: int, detail: str = ""
    ) -> None: ...


def no_audit(
    at: float, principal: str, method: str, resource: str, code: int, detail: str = ""
) -> None:
    """Keeps no record."""


def record(
    audit: Audit,
    at: float,
    principal: Principal,
    method: Method | None,
    path: str,
    code: int,
    call: Call | None = None,
    answer: Answer | None = None,
) -> None:
    """Tells ``audit``, if it is to be told. ``call`` and ``answer`` as far as it came. Never
    raises."""
    if method is None or not method.changes or principal is NOBODY:
        return
    try:
        resource = (method.about(call) if method.about and call else "") or path
        audit(at, principal.name, method.name, resource, code, answer.note if answer else "")
    except Exception as error:
        log.error("the audit log cannot be written: %s", error)


def child(collection: str, name: object) -> str:
    """The path of what is to be made in a collection; the collection if the name is none. Only
    what a path may hold is left of a name that nobody has checked yet."""
    return f"{collection}/{named(name)}" if isinstance(name, str) and name else collection


def named(name: object) -> str:
    return quote(str(name)[:LONGEST_NAME].encode("utf-8", "replace"), safe="")


def http_path(path: str, params: Mapping[str, str]) -> str:
    """The path of a call over HTTP: ``path`` with its variables filled."""
    return _VARIABLE.sub(
        lambda found: named(params[found[1]]) if found[1] in params else found[0], path
    )
