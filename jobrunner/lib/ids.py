"""Names nobody has used before: random in life, counted in tests."""

from __future__ import annotations

import os
import time

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and nothing that reads like another character, as the contract's own suffixes."""

AT_ONCE = 128
_VARIANT = "89ab"


class RandomIds:
    """UUIDs and five-character suffixes from the system's random source.

    The UUIDs are of version 7: 48 bits of milliseconds, then 74 random ones. What is made at one
    time lies together in every index, so a commit writes few pages however much is stored.
    """

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def uid(self) -> str:
        at = f"{time.time_ns() // 1_000_000:012x}"
        drawn = self._draw()
        h = drawn.hex()
        return f"{at[:8]}-{at[8:]}-7{h[1:4]}-{_VARIANT[drawn[2] & 3]}{h[5:8]}-{h[8:]}"

    def _draw(self) -> bytes:
        """Ten bytes. Asking the system for each of them would be most of the work."""
        while True:
            try:
                # In one step, as several threads may ask.
                return self._drawn.pop()
            except IndexError:
                many = os.urandom(10 * AT_ONCE)
                self._drawn += (many[n : n + 10] for n in range(0, len(many), 10))

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
