"""The validation handshake of the CloudEvents webhook profile: a sender asks by OPTIONS whether it
may send, and headers of the answer say so. The status of the answer says nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from triggers.core.records import Headers

ORIGIN = "WebHook-Request-Origin"
RATE = "WebHook-Request-Rate"
CALLBACK = "WebHook-Request-Callback"
ALLOWED_ORIGIN = "WebHook-Allowed-Origin"
ALLOWED_RATE = "WebHook-Allowed-Rate"
ANY = "*"

_HOST = re.compile(r"[A-Za-z0-9.\-:\[\]]{1,255}")


def consent(
    headers: Iterable[tuple[str, str]],
    *,
    origins: Collection[str] = (ANY,),
    per_minute: int | None = None,
) -> Headers:
    """The headers of the answer; none for a request that asks for nothing, or an origin that may
    not send. ``origins`` are host names, ``*`` is any; ``per_minute`` is the most events that a
    sender may send in a minute, ``None`` is no limit."""
    given = {name.lower(): value.strip(" \t") for name, value in headers}
    origin = given.get(ORIGIN.lower(), "")
    if not _HOST.fullmatch(origin):
        return ()
    allowed = {one.lower() for one in origins}
    if ANY not in allowed and origin.lower() not in allowed:
        return ()
    answer = [("Allow", "POST, OPTIONS"), (ALLOWED_ORIGIN, origin)]
    asked = given.get(RATE.lower())
    if per_minute is not None:
        wanted = int(asked[:9]) if asked and asked.isascii() and asked.isdigit() else per_minute
        answer.append((ALLOWED_RATE, str(max(1, min(wanted, per_minute)))))
    elif asked is not None:
        answer.append((ALLOWED_RATE, asked if asked.isascii() and asked.isdigit() else ANY))
    return tuple(answer)
