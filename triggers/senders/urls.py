"""URLs of targets, and where redirects lead."""

from __future__ import annotations

import re
from functools import lru_cache

from yarl import URL

from triggers.core.verdict import Break
from triggers.senders.failures import Stop


def becomes_get(status: int, method: str) -> bool:
    """303 asks for another page; 301 and 302 do after POST, as every client has it. 307 and 308
    repeat the request as it was."""
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


_SPELLED = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


def _spelled(text: str) -> URL:
    """What is a URL already is sent letter for letter: a signature may hang on it. Anything else is
    brought into form. Raises ValueError."""
    return URL(text, encoded=bool(_SPELLED.fullmatch(text))).with_fragment(None)


@lru_cache(maxsize=1024)
def read_url(text: str) -> URL:
    """Of a target. Most deliveries go where one before them went."""
    try:
        url = _spelled(text)
        if url.scheme in ("http", "https") and url.raw_host and url.port:
            return url
    except ValueError:
        pass
    raise Stop(Break.UNUSABLE, f"{text[:200]!a} is not of the form http(s)://HOST[:PORT]/PATH")


def redirected(base: URL, location: str) -> URL:
    """Where ``location`` leads, as seen from ``base``."""
    try:
        there = base.join(_spelled(location))
        if there.scheme in ("http", "https") and there.raw_host and there.port:
            return there
    except ValueError:
        pass
    raise Stop(Break.REDIRECTS, f"a redirect to {location[:200]!a}, which cannot be followed")
