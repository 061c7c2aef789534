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

MOST_REMEMBERED = 512
"""Documents of a kind that are kept decoded. They are frozen, so one value may stand in many rows;
a map in one is as frozen by agreement."""
LONGEST_REMEMBERED = 16_384
"""Characters; so no more than some megabytes are kept."""

_encode = msgspec.json.encode
_spec = msgspec.json.Decoder(JobSpec)
_template = msgspec.json.Decoder(ExecutionTemplate)
_map = msgspec.json.Decoder(dict[str, str])
_indices = msgspec.json.Decoder(tuple[int, ...])
_specs: dict[str, JobSpec] = {}
_templates: dict[str, ExecutionTemplate] = {}
_encoded: dict[int, tuple[ExecutionTemplate, str]] = {}


def encode(value: JobSpec | ExecutionTemplate | Mapping[str, str] | tuple[int, ...]) -> str:
    """Raises InvalidSpec for text that is no Unicode (a lone surrogate)."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError as error:
        raise InvalidSpec(
            [Violation("", f"{error.object!r} is not valid Unicode text; encode the bytes first")]
        ) from error


def decode_spec(text: str) -> JobSpec:
    return _remember(_specs, _spec, text)


def decode_template(text: str) -> ExecutionTemplate:
    return _remember(_templates, _template, text)


def encode_template(template: ExecutionTemplate) -> str:
    """As :func:`encode`; a template that is asked for again is known by its identity."""
    known = _encoded.get(id(template))
    if known is not None and known[0] is template:
        return known[1]
    text = encode(template)
    if len(text) <= LONGEST_REMEMBERED:
        if len(_encoded) >= MOST_REMEMBERED:
            _encoded.clear()
        _encoded[id(template)] = template, text
    return text


def decode_map(text: str) -> StringMap:
    # Most are empty.
    return {} if text == "{}" else _decode(_map, text)


def decode_indices(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else _decode(_indices, text)


def _remember(known: dict[str, T], decoder: msgspec.json.Decoder[T], text: str) -> T:
    # The runs of one job have one template, and each run reads the same spec.
    value = known.get(text)
    if value is None:
        value = _decode(decoder, text)
        if len(text) <= LONGEST_REMEMBERED:
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            known[text] = value
    return value


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise StoreFault(
            f"A stored document cannot be read: {error}.",
            hint="The database was changed by hand or is damaged; restore the last backup.",
        ) from error
