"""Request message → parameters and body of a call; JSON of an answer → response message.

The mapping is that of Google's HTTP annotations: the resource name fills the variables of the path,
the body field is the JSON body, and what is left are query parameters under their camelCase names
(``options.requestedPolicyVersion`` for a field of a message).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from jobrunner.calls import Message, MessageType, Rpc
from jobrunner.errors import InvalidSpec, Violation

_VERSION = re.compile(r"^/v[0-9]+[a-z0-9]*/")


def call_parts(rpc: Rpc, path: str, message: Message) -> tuple[dict[str, str], Any]:
    """The parameters and the body of a call. ``path`` is the one of the method. Raises InvalidSpec
    if the resource name does not have the form of the path."""
    document = _document(message)
    params = path_variables(path, rpc.name_field, _pick(document, rpc.name_field))
    if rpc.body == "*":
        document.pop(rpc.name_field, None)
        return params, document
    body = document.pop(rpc.body, None) or {} if rpc.body else None
    document.pop(rpc.name_field, None)
    params.update(_query(document))
    return params, body


def answer_message(kind: MessageType, body: Any, without: Iterable[str] = ()) -> Message:
    """The response message of an answer's JSON, less what stands at the paths ``without``. Raises
    ``json_format.ParseError`` where the JSON has what the message has not."""
    document = json.loads(body) if isinstance(body, bytes) else body
    for path in without:
        document = _less(document, path.split("."))
    return json_format.ParseDict(document or {}, kind())


def path_variables(path: str, field: str, name: str) -> dict[str, str]:
    """The variables of ``path`` in the resource name: ``/v2/projects/{project}/…`` beside
    ``projects/p/…``. The name may end before the last segment of the path, a collection."""
    wanted = _VERSION.sub("", path).split(":")[0].split("/")
    while wanted and not wanted[-1].startswith("{"):
        wanted.pop()
    if not name.isprintable():
        raise InvalidSpec([Violation(field, "it holds a character that cannot be printed")])
    given = name.split("/")
    if len(given) == len(wanted) and all(
        bool(value) if key.startswith("{") else key == value
        for key, value in zip(wanted, given, strict=True)
    ):
        return {
            key.strip("{}"): value
            for key, value in zip(wanted, given, strict=True)
            if key.startswith("{")
        }
    form = "/".join(key.strip("{}").upper() if key.startswith("{") else key for key in wanted)
    raise InvalidSpec([Violation(field, f"'{name}' is not a name of the form {form}")])


def _document(message: Message) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json_format.MessageToDict(message)
    except (TypeError, DecodeError) as error:
        # A type that is not known here, or what is not of the type that it says.
        said = " ".join(str(error).split())[:200]
        raise InvalidSpec([Violation("message", f"an Any in it cannot be read: {said}")]) from None
    return document


def _less(value: Any, path: Sequence[str]) -> Any:
    """A copy without the member at ``path``."""
    if isinstance(value, list):
        return [_less(one, path) for one in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    rest = {key: one for key, one in value.items() if key != path[0]}
    return rest if len(path) == 1 else {**rest, path[0]: _less(value[path[0]], path[1:])}


def _pick(document: Mapping[str, Any], field: str) -> str:
    value: Any = document
    for part in field.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value)


def _query(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _query(value, f"{prefix}{key}.")
        elif isinstance(value, bool):
            yield f"{prefix}{key}", "true" if value else "false"
        else:
            yield f"{prefix}{key}", str(value)
