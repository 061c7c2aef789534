"""Names nobody has used before: random in life, counted in tests."""

from __future__ import annotations

import os
import time

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and nothing that reads like another character, as the contract's own suffixes."""


class RandomIds:
    """UUIDs and five-character suffixes from the system's random source.

    The UUIDs are of version 7: 48 bits of milliseconds, then 74 random ones. What is made at one
    time lies together in every index, so a commit writes few pages however much is stored.
    """

    def uid(self) -> str:
        raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
        raw[6] = (raw[6] & 0x0F) | 0x70
        raw[8] = (raw[8] & 0x3F) | 0x80
        h = raw.hex()
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"

    def suffix(self) -> str:
        return "".join(ALPHABET[b % len(ALPHABET)] for b in os.urandom(5))


class CountedIds:
    """uid ``00000000-0000-4000-8000-00000000000N`` and suffix ``0000N``."""

    def __init__(self) -> None:
        self._uid = 0
        self._suffix = 0

    def uid(self) -> str:
        self._uid += 1
        return f"00000000-0000-4000-8000-{self._uid:012d}"

    def suffix(self) -> str:
        self._suffix += 1
        return f"{self._suffix:05d}"
