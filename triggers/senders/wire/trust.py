"""Whom TLS connections trust."""

from __future__ import annotations

import ssl

from triggers.core.verdict import Break
from triggers.senders.failures import Stop, words


class Trust:
    """TLS contexts, each made once. Blocks for some 20 ms the first time."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self._strict: ssl.SSLContext | None = None
        self._blind: ssl.SSLContext | None = None

    def context(self, verify: bool) -> ssl.SSLContext:
        """Raises Stop for a file of authorities that cannot be read or holds none."""
        if not verify:
            if self._blind is None:
                self._blind = ssl.create_default_context()
                self._blind.check_hostname = False
                self._blind.verify_mode = ssl.CERT_NONE
            return self._blind
        if self._strict is None:
            context = ssl.create_default_context()
            if self._ca_file is not None:
                try:
                    context.load_verify_locations(self._ca_file)
                except OSError as error:
                    reason = f"the file of authorities {self._ca_file}: {words(error)}"
                    raise Stop(Break.TLS, reason) from None
            self._strict = context
        return self._strict
