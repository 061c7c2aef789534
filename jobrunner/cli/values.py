"""The grammar of flag values, as gcloud's: lists, dictionaries, instants, numbers.

Pure; every function raises ValueError with a sentence that names the value and the allowed form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jobrunner.core.quantities import parse_duration
from jobrunner.core.timestamps import parse_time

_ALTERNATE = re.compile(r"\^([^^]+)\^(.*)", re.DOTALL)


def split_list(text: str) -> list[str]:
    """``a,b``; ``^:^a,b:c`` cuts at ``:`` instead. The empty text is the empty list."""
    if not text:
        return []
    delimiter = ","
    if text.startswith("^"):
        match = _ALTERNATE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"'{text}' begins with '^' but does not name a delimiter; "
                "the form is ^DELIMITER^ITEM DELIMITER ITEM, as in ^:^a:b"
            )
        delimiter, text = match.groups()
        if not text:
            return []
    return text.split(delimiter)


def split_dict(text: str) -> dict[str, str]:
    """``K=V,K2=V2``, with :func:`split_list`'s delimiters. A value may hold ``=``, a key not."""
    pairs: dict[str, str] = {}
    for item in split_list(text):
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise ValueError(
                f"'{item}' is not KEY=VALUE (a comma inside a value needs another delimiter, "
                "as in ^;^KEY=a,b;KEY2=c)"
            )
        pairs[key.strip()] = value
    return pairs


def merge_dicts(texts: Iterable[str]) -> dict[str, str]:
    """A repeated flag adds; the last one wins for the same key."""
    merged: dict[str, str] = {}
    for text in texts:
        merged.update(split_dict(text))
    return merged


def merge_lists(texts: Iterable[str]) -> list[str]:
    """A repeated flag appends."""
    return [item for text in texts for item in split_list(text)]


def instant(text: str, now: float) -> float:
    """Unix seconds of an RFC 3339 time, or of a duration before ``now``."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_time(text.strip())
    except ValueError:
        raise ValueError(
            f"'{text}' is not a time; write RFC 3339 (2025-05-01T10:00:00Z) "
            "or how long ago (90s, 10m)"
        ) from None


def whole_number(text: str, least: int, most: int | None) -> int:
    """A decimal number within the bounds (``most`` ``None``: no upper one)."""
    allowed = f"from {least} to {most}" if most is not None else f"of {least} or more"
    stripped = text.strip()
    if not re.fullmatch(r"-?\d+", stripped, re.ASCII):
        raise ValueError(f"'{text}' is not a whole number {allowed}")
    if len(stripped) > 18:
        raise ValueError(f"'{text}' is not a whole number {allowed}")
    number = int(stripped)
    if number < least or (most is not None and number > most):
        raise ValueError(f"'{text}' is not a whole number {allowed}")
    return number


def secret_refs(pairs: dict[str, str]) -> dict[str, tuple[str, str]]:
    """``NAME=SECRET:VERSION`` or ``/PATH=SECRET:VERSION`` → key to (secret, version)."""
    refs: dict[str, tuple[str, str]] = {}
    for key, value in pairs.items():
        secret, colon, version = value.rpartition(":")
        if not colon or not secret or not version:
            raise ValueError(
                f"'{key}={value}' is not NAME=SECRET:VERSION or /PATH=SECRET:VERSION, "
                "for example API_KEY=api-key:latest"
            )
        refs[key] = (secret, version)
    return refs


def fields(text: str, allowed: Iterable[str], required: Iterable[str]) -> dict[str, str]:
    """``name=a,type=b``: a dictionary whose keys are known and complete."""
    pairs = split_dict(text)
    known = tuple(allowed)
    for key in pairs:
        if key not in known:
            raise ValueError(f"'{key}' in '{text}' is not known; allowed: {', '.join(known)}")
    missing = [key for key in required if not pairs.get(key)]
    if missing:
        raise ValueError(f"'{text}' lacks {', '.join(f'{key}=…' for key in missing)}")
    return pairs
