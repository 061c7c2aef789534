"""Answers, read from the bytes of one connection as they come. No I/O, no clock.

httptools (llhttp) splits the bytes; what is an answer, how much of it is wanted and whether the
connection may serve again is decided here.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from triggers.core.verdict import Break
from triggers.senders.failures import Stop, one_line

MOST_FIELDS = 128
LONGEST_FIELD = 16 * 1024
LARGEST_HEAD = 64 * 1024
"""Bounds of the head of an answer, in fields and bytes. What comes in one read is looked at as a
whole, so a little more may be held."""
EXCERPT = 4096
"""Bytes of a body that are kept."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_WANTED = frozenset({
    _LENGTH, _CODING, b"content-encoding", b"location", b"retry-after",
})  # fmt: skip


class Gone(Stop):
    """The connection ended before a byte of an answer came."""

    def __init__(self, words: str = "") -> None:
        super().__init__(Break.RESET, words or "the connection was closed before an answer came")


class Reader:
    """Of one connection: :meth:`expect` an answer, :meth:`feed` it until it is over.

    Then ``status`` and :meth:`header` tell what it says, ``excerpt`` is the beginning of its body,
    and ``reusable`` whether the next request may follow on the same connection. ``begun``: bytes
    have come; ``bodied``: some of a body; ``spare``: some that belong to no answer.
    """

    __slots__ = (
        "_bodiless", "_complete", "_fault", "_fields", "_follow", "_head", "_headed", "_headers",
        "_keep", "_parser", "_rest", "_to_the_end", "begun", "bodied", "excerpt", "over", "spare",
        "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = None
        self.expect()

    def expect(self, *, cap: int = 0, bodiless: bool = False, follow: bool = False) -> None:
        """At most ``cap`` bytes of the body are waited for; none behind the answer to HEAD
        (``bodiless``), and none of a redirect that is to be followed (``follow``)."""
        self.status = 0
        self.excerpt = bytearray()
        self.begun = self.bodied = self.over = self.spare = False
        self._headers: dict[bytes, bytes] = {}
        self._bodiless, self._follow, self._rest = bodiless, follow, cap
        self._headed = self._complete = self._keep = self._to_the_end = False
        self._head = self._fields = 0
        self._fault = ""

    def header(self, name: bytes) -> str | None:
        """One of those that matter here, by its name in lower case; the first where there are
        several."""
        value = self._headers.get(name)
        return None if value is None else value.decode("utf-8", "surrogateescape").strip()

    @property
    def redirects(self) -> bool:
        return self.status in REDIRECTS and b"location" in self._headers

    @property
    def reusable(self) -> bool:
        return self._keep and not self.spare and (self._complete or self._bodiless)

    def feed(self, data: bytes) -> bool:
        """Whether the answer is over. Raises Stop for what is none."""
        self.begun = True
        parser = self._parser
        if parser is None:
            parser = self._parser = _parser(self)
        if not self._headed:
            self._head += len(data)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self.spare = True
        except HttpParserError as error:
            self.spare = True
            if not self.over:
                part = "body" if self._headed else "head"
                words = one_line(str(error)) or "not HTTP"
                raise Stop(Break.PROTOCOL, f"the {part} of the answer: {words}") from None
        if self._head > LARGEST_HEAD and not self._headed:
            self._fault = self._fault or f"more than {LARGEST_HEAD} bytes"
        if self._fault:
            raise Stop(Break.PROTOCOL, f"the head of the answer: {self._fault}")
        if self.over and not self._complete:
            # It is still within a message that is of no more interest.
            self._parser = None
        return self.over

    def end(self) -> None:
        """The connection was closed in good order. Raises Stop if the answer was not over."""
        if self.over:
            return
        if self._to_the_end:
            self.over = self._complete = True
        elif self._headed:
            raise Stop(Break.RESET, "the connection was closed within the answer")
        elif self.begun:
            raise Stop(Break.RESET, "the connection was closed before an answer came")
        else:
            raise Gone

    def drop(self) -> None:
        """The connection is gone; the parser and this hold each other."""
        self._parser = None

    # ------------------------------------------------------------ what the parser finds

    def on_message_begin(self) -> None:
        if self.over:
            self.spare = True
        else:
            self._fields = 0
            self._headers = {}

    def on_header(self, name: bytes, value: bytes | None) -> None:
        self._fields += 1
        if self._fields > MOST_FIELDS:
            self._fault = f"more than {MOST_FIELDS} fields"
        elif value and len(value) + len(name) > LONGEST_FIELD:
            self._fault = f"a field of more than {LONGEST_FIELD} bytes"
        elif not self._headed and not self.over:
            name = name.lower()
            if name in _WANTED and (name == _CODING or name not in self._headers):
                self._headers[name] = value or b""

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None or self.over:
            return
        status = parser.get_status_code()
        if 100 <= status <= 199 and status != 101:
            return
        self.status = status
        self._headed = True
        if not (status < 200 or status in (204, 304)):
            coding = self._headers.get(_CODING)
            chunked = coding is not None and coding.lower().endswith(b"chunked")
            self._to_the_end = not chunked and (coding is not None or _LENGTH not in self._headers)
        if self._bodiless:
            self._keep = parser.should_keep_alive()
        if self._follow and self.redirects:
            self._rest = 0
        if self._bodiless or self._rest <= 0 or status < 200:
            self.over = True

    def on_body(self, data: bytes) -> None:
        self.bodied = True
        if self._bodiless or self._complete:
            self.spare = True
        elif self._rest > 0:
            missing = min(EXCERPT - len(self.excerpt), self._rest)
            if missing > 0:
                self.excerpt += data[:missing]
            self._rest -= len(data)
            if self._rest <= 0:
                self.over = True

    def on_message_complete(self) -> None:
        if not self._headed:
            # An interim answer: the next one has a head of its own.
            self._head = 0
        elif not self._complete and self._parser is not None:
            self._complete = self.over = True
            self._keep = self._parser.should_keep_alive() and self.status >= 200


def _parser(reader: Reader) -> HttpResponseParser:
    made = HttpResponseParser(reader)
    # What old servers send and everybody reads: odd bytes in values, lines that end with LF alone,
    # blanks behind the size of a chunk, more bytes behind the last answer (never looked at).
    made.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
        lenient_data_after_close=True,
    )
    return made
