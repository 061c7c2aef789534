"""One operation: a POST over a connection that is kept, and what its answer or silence means.

An operation that may be repeated is, when the connection was lost before the answer came. While
something is followed (:meth:`Wire.patient`), a server that is started again is waited for.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from jobrunner.client.finding import TOKEN, VARIABLE, Endpoint
from jobrunner.errors import JobrunnerError, Refused, RunnerFault
from jobrunner.service.calls import OPERATIONS, PATH, PROTOCOL, About, Desk
from jobrunner.service.codec import decode_answer, encode_call, error_from

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 5.0
KEPT_SECONDS = 2.0
"""After so long without use a connection is opened anew: the server closes idle ones, and a request
that meets the closing cannot be told from one that was carried out."""
PATIENCE_SECONDS = 60.0
NOTICE_SECONDS = 2.0
"""A server that is started again is mostly back before that, and nobody needs to know."""
RETRY_SECONDS = 0.25
TRIES = 3


class Lost(Exception):
    """No answer came. ``sent`` says that the request may have been carried out."""

    def __init__(self, cause: Exception, *, sent: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.sent = sent


class Wire:
    """Carries operations to the server that ``find`` names. May be used by several threads."""

    def __init__(
        self,
        find: Callable[[], Endpoint | None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._sleep = sleep
        self._monotonic = monotonic
        self._own = threading.local()
        self._endpoint = find()
        self._closed = False

    @property
    def endpoint(self) -> Endpoint | None:
        return self._endpoint

    def close(self) -> None:
        """Whoever waits for a server to come back gives up; this thread's connection is closed."""
        self._closed = True
        self._forget()

    @contextmanager
    def patient(
        self, seconds: float = PATIENCE_SECONDS, *, notice: Callable[[str], None] | None = None
    ) -> Iterator[None]:
        """Within, and in this thread, a server that went away is waited for. ``notice`` hears of
        it, once each time that takes long."""
        before, told = self._patience, self._notice
        self._own.patience, self._own.notice = seconds, notice or told
        try:
            yield
        finally:
            self._own.patience, self._own.notice = before, told

    @property
    def _patience(self) -> float:
        found: float = getattr(self._own, "patience", 0.0)
        return found

    @property
    def _notice(self) -> Callable[[str], None] | None:
        found: Callable[[str], None] | None = getattr(self._own, "notice", None)
        return found

    def call(self, does: Callable[Concatenate[Desk, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the method of Desk answers there. Raises what it raises, and RunnerFault where the
        server does not answer."""
        operation = OPERATIONS[does.__name__]
        body = encode_call(does, PROTOCOL, args, kwargs)
        answer = self._asked(PATH + operation.name, body, repeatable=operation.repeatable)
        found: T = decode_answer(does, answer)
        return found

    def about(self) -> About:
        """Who serves, whatever protocol it speaks."""
        return msgspec.json.decode(self._asked(f"{PATH}about", b"{}", repeatable=True), type=About)

    def _asked(self, path: str, body: bytes, *, repeatable: bool) -> bytes:
        since: float | None = None
        tries, noticed = 0, False
        while True:
            try:
                status, answer = self._exchange(path, body)
            except Lost as lost:
                tries += 1
                since = self._monotonic() if since is None else since
                if lost.sent and not repeatable:
                    raise self._unknown() from None
                waited = self._monotonic() - since
                again = tries < TRIES if not self._patience else waited < self._patience
                if self._closed or not again or self._is_silent(lost):
                    raise self._silence(lost, waited) from None
                if self._notice is not None and waited >= NOTICE_SECONDS and not noticed:
                    noticed = True
                    self._notice(
                        f"{self._name()} went away. Tasks go on; waiting up to"
                        f" {self._patience:g} seconds for it to come back."
                    )
                self._sleep(RETRY_SECONDS)
                # A server that was started again may be elsewhere, with another key.
                self._endpoint = self._find() or self._endpoint
                continue
            if status == 200:
                return answer
            if status == 401 and self._has_another():
                continue
            raise refusal(status, answer)

    def _has_another(self) -> bool:
        """Whether the home has another server by now, with another key, maybe at the same address.
        One that does not know the key has carried nothing out."""
        found = self._find()
        if found is None or found == self._endpoint:
            return False
        self._endpoint = found
        return True

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        connection = self._connected()
        headers = {"Content-Type": "application/json", "User-Agent": "jobrunner"}
        if self._endpoint is not None and self._endpoint.token:
            headers["Authorization"] = f"Bearer {self._endpoint.token}"
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            raise Lost(error, sent=True) from None
        except BaseException:
            # A signal: what is half read is of no use to the next call.
            self._forget()
            raise
        self._own.used = self._monotonic()
        if response.will_close:
            self._forget()
        if response.status == 503 and b'"fault"' not in answer:
            # It ends, or takes no more calls for the moment: nothing was done.
            raise Lost(ConnectionRefusedError(0, "it takes no calls now"), sent=False)
        return response.status, answer

    def _connected(self) -> http.client.HTTPConnection:
        endpoint = self._endpoint
        if endpoint is None:
            raise Lost(ConnectionRefusedError("it is not running"), sent=False)
        kept: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        fresh = kept is not None and self._own.endpoint == endpoint
        if kept is not None and fresh and self._monotonic() - self._own.used < KEPT_SECONDS:
            return kept
        self._forget()
        connection = connection_to(endpoint)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Lost(error, sent=False) from None
        connection.sock.settimeout(ANSWER_SECONDS)
        self._own.connection, self._own.endpoint = connection, endpoint
        return connection

    def _forget(self) -> None:
        kept = getattr(self._own, "connection", None)
        self._own.connection = None
        if kept is not None:
            kept.close()

    @staticmethod
    def _is_silent(lost: Lost) -> bool:
        """There is a server, and it does not answer: asking once more would double the wait."""
        return lost.sent and isinstance(lost.cause, TimeoutError)

    def _unknown(self) -> RunnerFault:
        return RunnerFault(
            f"{self._name()} went away before it answered: whether it was done is not known.",
            hint="Look (list, describe), and do it again if it was not.",
        )

    def _silence(self, lost: Lost, waited: float) -> RunnerFault:
        cause = lost.cause
        why = str(cause) if not isinstance(cause, OSError) else cause.strerror or str(cause)
        why = f" ({why})" if why else ""
        if self._is_silent(lost):
            said = (
                f"{self._name()} does not answer: nothing came within {ANSWER_SECONDS:g} seconds."
            )
        elif self._patience:
            said = f"{self._name()} went away and did not come back in {waited:.0f} seconds{why}."
        else:
            said = f"{self._name()} does not answer{why}."
        if isinstance(lost.cause, ssl.SSLCertVerificationError):
            return RunnerFault(said, hint="SSL_CERT_FILE names a file of certificates to trust.")
        return RunnerFault(said, hint=self._way_on())

    def _name(self) -> str:
        endpoint = self._endpoint
        if endpoint is None:
            return "The server of this home"
        process = f" (pid {endpoint.pid})" if endpoint.pid is not None else ""
        return f"The server at {endpoint.url}{process}"

    def _way_on(self) -> str:
        endpoint = self._endpoint
        if endpoint is not None and endpoint.pid is None:
            return f"Is it running there? Without {VARIABLE} commands work on this machine."
        if endpoint is not None and not self._patience:
            return (
                f"Look into its log. If it hangs, end it (kill {endpoint.pid}) and start it again: "
                "tasks go on; without a server commands work by themselves."
            )
        return "Start it again: jobrunner serve. Without a server commands work by themselves."


def connection_to(endpoint: Endpoint) -> http.client.HTTPConnection:
    """Not yet connected."""
    if endpoint.scheme == "http":
        return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=CONNECT_SECONDS)
    context = ssl.create_default_context()
    if endpoint.pid is not None:
        # Named by a file that only its user can write, on this machine: its certificate is for
        # the names that others know it by.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(
        endpoint.host, endpoint.port, timeout=CONNECT_SECONDS, context=context
    )


def refusal(status: int, answer: bytes) -> JobrunnerError:
    """The error behind an answer that is not 200: an operation's own, or that of a gate before."""
    message, hint = "", None
    try:
        found = msgspec.json.decode(answer)
        fault = found.get("fault")
        if isinstance(fault, dict) and status not in (401, 403):
            return error_from(fault)
        message = str(found["error"]["message"]).rstrip(".")
        hint = _hint_in(found["error"])
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        pass
    if status == 401:
        said = message or "the server wants to know who asks"
        return Refused(f"The server refuses the call: {said}.", hint=f"Set {TOKEN} to a token.")
    if status == 403:
        # The permission's own name means nothing to who typed a command; the hint names the roles.
        said = "the role of the token is not enough"
        if message and not message.startswith("Permission "):
            said = message
        return Refused(f"The server refuses the call: {said}.", hint=hint)
    if status in (404, 405):
        return RunnerFault(
            "The server does not know this operation: it is of another version, or no jobrunner.",
            hint="Use the same version of jobrunner on both sides.",
        )
    return RunnerFault(f"The server answered with {status}: {message or 'no reason'}.")


def _hint_in(error: Mapping[str, Any]) -> str | None:
    """What the server says to do about it."""
    for detail in error.get("details", ()):
        for link in detail.get("links", ()):
            return str(link["description"])
    return None
