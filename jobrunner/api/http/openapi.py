"""What the server answers to, made from the tables of methods: OpenAPI for programs, a page for
people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from jobrunner.api.http.request import WITH_BODY
from jobrunner.api.shapes import schemas
from jobrunner.calls import Method

PRIVATE = "jobrunner"
"""The command line's own calls come last."""

_VARIABLE = re.compile(r"\{(\w+)\}")

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #8884; padding: .3rem .6rem; vertical-align: top }
td:first-child { font-weight: 600; width: 4rem }
code { word-break: break-all }
"""

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}


def document(methods: Sequence[Method], version: str) -> dict[str, Any]:
    """OpenAPI 3.0. Bodies are objects whose fields the documents of the APIs describe."""
    paths: dict[str, dict[str, Any]] = {}
    for method, identifier in zip(methods, _identifiers(methods), strict=True):
        paths.setdefault(method.path, {})[method.verb.lower()] = _operation(method, identifier)
    return {
        "openapi": "3.0.3",
        "info": {"title": "jobrunner", "version": version or "0"},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Error": _ERROR, **schemas()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _identifiers(methods: Sequence[Method]) -> list[str]:
    """Two versions of an API have methods of the same name; each operation has its own."""
    uses = Counter(method.name for method in methods)
    places: Counter[str] = Counter()
    found = []
    for method in methods:
        places[method.name] += 1
        number = f".{places[method.name]}" if uses[method.name] > 1 else ""
        found.append(method.name + number)
    return found


def _operation(method: Method, identifier: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": identifier,
        "summary": method.summary or method.name,
        "tags": [_tag(method)],
        "description": _need(method),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _VARIABLE.findall(method.path)
        ]
        + [
            {"name": name, "in": "query", "schema": {"type": "string"}}
            for name in method.query or ()
        ],
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "default": {
                "description": "An error.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if method.verb in WITH_BODY:
        named = {"$ref": f"#/components/schemas/{method.body}"}
        schema = named if method.body else {"type": "object"}
        kind = "*/*" if method.raw else "application/json"
        operation["requestBody"] = {"content": {kind: {"schema": {} if method.raw else schema}}}
    return operation


def _tag(method: Method) -> str:
    """The API and its version: the first segments that are no variables, as ``v2``."""
    segments = method.path.split("/")[1:]
    return "/".join(segments[1:3]) if segments[0] == "apis" else segments[0]


def html_page(methods: Iterable[Method], version: str) -> str:
    """All methods on one page, without a script and without anything from elsewhere."""
    groups: dict[str, list[Method]] = {}
    for method in methods:
        groups.setdefault(_tag(method), []).append(method)
    body = "".join(
        f"<h2>{escape(tag)}</h2><table>{''.join(map(_row, groups[tag]))}</table>"
        for tag in sorted(groups, key=lambda tag: (tag == PRIVATE, tag))
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>jobrunner: API</title>"
        f"<style>{_STYLE}</style>"
        f"<h1>jobrunner {escape(version)}</h1>"
        "<p>The methods of this server. For programs: <a href=/openapi.json>openapi.json</a>.</p>"
        f"{body}"
    )


def _row(method: Method) -> str:
    query = "".join(f" <small>{escape(name)}</small>" for name in method.query or ())
    role = "" if method.open else method.role.name.lower()
    return (
        f"<tr><td>{escape(method.verb)}<td><code>{escape(method.path)}</code>{query}"
        f"<td>{escape(method.summary or method.name)}<td>{escape(role)}"
    )


def _need(method: Method) -> str:
    return "Needs no token." if method.open else f"Needs the role {method.role.name.lower()}."
