"""Answers of v1: documents as bytes, lists, the Status of a removal, and errors in its words."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from jobrunner.api.v1 import keys
from jobrunner.calls import Answer
from jobrunner.core.documents import Document
from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound

_encode = msgspec.json.Encoder().encode
_encode_anything = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encoded(document: object) -> bytes:
    try:
        return _encode(document)
    except (UnicodeEncodeError, OverflowError):
        # Half of a surrogate pair, or a number beyond 64 bits, which an older version let in.
        return _encode_anything(document).encode("utf-8", "replace")


def answer(document: Document) -> Answer:
    return Answer(encoded(document))


def listed(
    kind: str, namespace: str, collection: str, items: Sequence[bytes], token: str | None
) -> Answer:
    """``metadata`` is always there: clients read its ``continue`` without looking."""
    metadata: Document = {"selfLink": self_link(namespace, collection)}
    if token:
        metadata["continue"] = token
    head = encoded({"apiVersion": keys.API_VERSION, "kind": kind, "metadata": metadata})
    return Answer(array(head[:-1] + b',"items":[', items, b"]}"))


def array(head: bytes, items: Sequence[bytes], tail: bytes) -> bytes:
    """``items`` with commas, between ``head`` and ``tail``. A long list is copied once."""
    if len(items) < 2:
        return b"".join((head, *items, tail))
    first, *others, last = items
    return b",".join((head + first, *others, last + tail))


def removed(collection: str, name: str, uid: str) -> Answer:
    return answer(
        {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Success",
            "details": {"name": name, "kind": collection, "uid": uid},
        }
    )


def self_link(namespace: str, collection: str) -> str:
    return f"/apis/{keys.API_VERSION}/namespaces/{namespace}/{collection}"


def missing(kind: str, name: str, scope: Scope) -> NotFound:
    """``kind`` is JOB, EXECUTION or TASK."""
    return NotFound(
        f"Resource '{name}' of kind '{kind}' in region '{scope.region}' in project"
        f" '{scope.project}' does not exist."
    )


def exists(name: str) -> AlreadyExists:
    return AlreadyExists(f"Resource '{name}' already exists.")
