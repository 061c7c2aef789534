"""How operations travel: parameters and answers as JSON by their type hints, errors by their class.

An object that has more fields than are known here is read without them.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from jobrunner import errors
from jobrunner.errors import (
    InvalidSpec,
    JobrunnerError,
    LaunchFailed,
    RunnerFault,
    UsageError,
    Violation,
)

Document = dict[str, Any]
BIGGEST = 2**63
TEMPLATES = ("spec", "overrides")

CLASSES: Mapping[str, type[JobrunnerError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, JobrunnerError)
}


@cache
def hints_of(does: Callable[..., Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(does)


@cache
def parameters_of(does: Callable[..., Any]) -> Any:
    """A type with one field for each parameter of a method but ``self``."""
    hints = hints_of(does)
    fields: list[Any] = []
    for name, parameter in list(inspect.signature(does).parameters.items())[1:]:
        if parameter.default is parameter.empty:
            fields.append((name, hints[name]))
        else:
            fields.append((name, hints[name], parameter.default))
    return msgspec.defstruct(does.__name__, fields, kw_only=True)


# ---------------------------------------------------------------- calls


def encode_call(
    does: Callable[..., Any], protocol: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bytes:
    """Raises InvalidSpec for text that is no Unicode (a lone surrogate)."""
    bound = inspect.signature(does).bind(None, *args, **kwargs)
    arguments = dict(list(bound.arguments.items())[1:])
    try:
        return msgspec.json.encode({"protocol": protocol, "arguments": arguments})
    except UnicodeEncodeError as error:
        raise InvalidSpec(
            [Violation("", f"{error.object!r} is not valid Unicode text; encode the bytes first")]
        ) from None


def read_call(does: Callable[..., Any], arguments: object) -> dict[str, Any]:
    """The arguments by name. Raises UsageError for what the method cannot take, or no store can be
    asked for."""
    problem = _strange(arguments)
    if problem is not None:
        raise UsageError(f"{does.__name__}: {problem}")
    try:
        found = msgspec.convert(arguments, parameters_of(does))
    except msgspec.ValidationError as error:
        raise UsageError(f"{does.__name__}: {error}") from None
    return {name: getattr(found, name) for name in found.__struct_fields__}


def _strange(document: object) -> str | None:
    """A number or text in ``document`` that no database takes. What may be stored as a template is
    looked at by its own rules, which name the field; only half a character is none of theirs."""
    todo: list[tuple[object, bool]] = [(document, False)]
    while todo:
        value, free = todo.pop()
        if isinstance(value, str):
            if "\0" in value and not free:
                return "text holds a NUL character"
            if not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
                return "text holds half of a character"
        elif isinstance(value, int):
            if not -BIGGEST <= value < BIGGEST:
                return "a number has more than 64 bits"
        elif isinstance(value, Mapping):
            todo += [(key, free) for key in value]
            todo += [(item, free or key in TEMPLATES) for key, item in value.items()]
        elif isinstance(value, Sequence):
            todo += [(item, free) for item in value]
    return None


# ---------------------------------------------------------------- answers


def encode_answer(answer: object) -> bytes:
    return msgspec.json.encode(answer)


def decode_answer(does: Callable[..., Any], data: bytes) -> Any:
    """Raises RunnerFault for an answer that is none."""
    try:
        return msgspec.json.decode(data, type=hints_of(does)["return"])
    except msgspec.DecodeError as error:
        raise RunnerFault(f"The answer of the server cannot be read: {error}.") from None


# ---------------------------------------------------------------- errors


def fault_of(error: JobrunnerError) -> Document:
    """All that there is to say about ``error``, its classes from the nearest on."""
    found: Document = {
        "classes": [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)],
        "message": error.message,
        "hint": error.hint,
    }
    if isinstance(error, InvalidSpec):
        found["violations"] = [[v.field, v.message] for v in error.violations]
    if isinstance(error, LaunchFailed):
        found |= {"permanent": error.permanent, "reason": error.reason}
    return found


def error_from(fault: Mapping[str, Any]) -> JobrunnerError:
    """The error that :func:`fault_of` was told of, or the nearest one that is known here."""
    message, hint = str(fault.get("message", "")), fault.get("hint")
    names = [name for name in fault.get("classes", ()) if name in CLASSES]
    kind = CLASSES[names[0]] if names else RunnerFault
    if issubclass(kind, InvalidSpec):
        pairs = fault.get("violations", ())
        return InvalidSpec([Violation(str(f), str(m)) for f, m in pairs], hint=hint)
    if issubclass(kind, LaunchFailed):
        reason = str(fault.get("reason", ""))
        return kind(message, permanent=bool(fault.get("permanent")), reason=reason, hint=hint)
    return kind(message, hint=hint)


__all__ = [
    "decode_answer",
    "encode_answer",
    "encode_call",
    "error_from",
    "fault_of",
    "read_call",
]
