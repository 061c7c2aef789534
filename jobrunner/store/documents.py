"""Specs, templates and maps as JSON text, by field name; a field that is not there is its default.

Text that was written by an older version reads well as long as fields are only added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from jobrunner.core.spec import ExecutionTemplate, JobSpec, StringMap
from jobrunner.errors import InvalidSpec, StoreFault, Violation

T = TypeVar("T")

_encode = msgspec.json.encode
_spec = msgspec.json.Decoder(JobSpec)
_template = msgspec.json.Decoder(ExecutionTemplate)
_map = msgspec.json.Decoder(dict[str, str])
_indices = msgspec.json.Decoder(tuple[int, ...])


def encode(value: JobSpec | ExecutionTemplate | Mapping[str, str] | tuple[int, ...]) -> str:
    """Raises InvalidSpec for text that is no Unicode (a lone surrogate)."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError as error:
        raise InvalidSpec(
            [Violation("", f"{error.object!r} is not valid Unicode text; encode the bytes first")]
        ) from error


def decode_spec(text: str) -> JobSpec:
    return _decode(_spec, text)


def decode_template(text: str) -> ExecutionTemplate:
    return _decode(_template, text)


def decode_map(text: str) -> StringMap:
    # Most are empty.
    return {} if text == "{}" else _decode(_map, text)


def decode_indices(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else _decode(_indices, text)


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise StoreFault(
            f"a stored document cannot be read: {error}",
            hint="the database was changed by hand or is damaged; restore the last backup",
        ) from error
