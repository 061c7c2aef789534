"""One runner's line to one supervisor, living or dead.

While it lives, requests made in one turn of the event loop leave as one frame. When it is found
dead its journal is read once, and then answers from that: an end in it wins, anything else that was
started has vanished.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from jobrunner.backends.process.convert import exit_status, template_fields
from jobrunner.backends.process.handle import BOOT_CHARACTERS
from jobrunner.backends.supervisor import place, procfs, protocol, remains, start
from jobrunner.backends.supervisor.journal import Book
from jobrunner.backends.supervisor.protocol import LENGTH, SupervisorFault
from jobrunner.core.records import AttemptKey, ExitStatus
from jobrunner.errors import AttemptVanished, BackendFault, LaunchFailed
from jobrunner.ports import Found, Launched, LaunchSpec, LaunchTemplate, Running, Sighting, Vanished

READ_BYTES = 256 * 1024
TEMPLATES = 64
SILENCE = 10.0
"""Seconds without a word, with questions open, after which a supervisor counts as unreachable."""
GONE = "the supervisor that held the attempt died, and nobody saw how the attempt ended"
UNKNOWN = "the supervisor does not know the attempt"

_decode = msgspec.json.Decoder().decode


class NotStarted(Exception):
    """The supervisor died before it came to this attempt: another one may start it."""


def encode(messages: list[list[object]]) -> bytes:
    try:
        return msgspec.json.encode(messages)
    except UnicodeEncodeError:
        # Arguments and environment may hold bytes that are no text; these survive as surrogates.
        return json.dumps(messages).encode("ascii")


class Link:
    """``connect`` (or ``of_the_dead``) makes one. ``book`` is set once the supervisor is dead,
    ``fault`` when what it left could not be read: then a new link may be tried."""

    def __init__(self, directory: str, mark_prefix: str, boot: str) -> None:
        self.directory = directory
        self.id = os.path.basename(directory)
        self.book: Book | None = None
        self.fault: BackendFault | None = None
        self._prefix = mark_prefix
        self._boot = boot[:BOOT_CHARACTERS]
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._inbox = protocol.Inbox()
        self._outbox: list[list[object]] = []
        self._unsent = b""
        self._flushing = False
        self._templates: dict[str, tuple[LaunchTemplate, int]] = {}
        self._numbers = itertools.count(1)
        self._greeting: asyncio.Future[None] | None = None
        self._launches: dict[str, list[asyncio.Future[Launched]]] = {}
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._watched: set[str] = set()
        self._ends: dict[str, ExitStatus] = {}
        self._waiters: dict[str, list[asyncio.Future[ExitStatus]]] = {}
        self._heard = False
        self._silence: asyncio.TimerHandle | None = None
        self._reading_remains: asyncio.Task[None] | None = None
        self._forgotten: list[str] = []
        self._forgetting: asyncio.Task[None] | None = None
        self._closed = False

    # ------------------------------------------------------------------ beginning and end

    @classmethod
    async def connect(cls, directory: str, mark_prefix: str, *, patience: float) -> Link:
        """Raises OSError when nobody answers there (any more), BackendFault when it is not one
        that we can talk to."""
        link = cls(directory, mark_prefix, procfs.boot_id())
        link._sock = place.connect(directory)
        link._loop.add_reader(link._sock, link._readable)
        link._greeting = link._loop.create_future()
        link._say(protocol.HELLO, protocol.VERSION)
        try:
            await asyncio.wait_for(link._greeting, patience)
        except TimeoutError:
            await link.close()
            raise BackendFault(silent(directory, patience), hint=how_to_wake(directory)) from None
        except BaseException:
            await link.close()
            raise
        link._greeting = None
        return link

    @classmethod
    def of_the_dead(cls, directory: str, mark_prefix: str, book: Book) -> Link:
        info = place.read_info(directory)
        link = cls(directory, mark_prefix, info["boot"] if info else "")
        link.book = book
        return link

    @property
    def usable(self) -> bool:
        """Whether it can be asked to start something."""
        return self._sock is not None and not self._closed

    async def close(self) -> None:
        """Lets go. What was asked for before still leaves."""
        self._closed = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._flush()
        self._hang_up()
        for task in (self._reading_remains, self._forgetting):
            if task is not None:
                await asyncio.wait([task])

    def _hang_up(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None

    # ------------------------------------------------------------------ asking

    async def launch(self, spec: LaunchSpec, key: str, cwd: str) -> Launched:
        """Raises LaunchFailed, and NotStarted."""
        if not self.usable:
            raise NotStarted
        template = self._templates.get(spec.template.execution)
        if template is None or template[0] is not spec.template:
            template = self._send_template(spec.template, cwd)
        self._say(protocol.SPAWN, template[1], key, dict(spec.env), spec.log, spec.lease)
        self._watched.add(key)
        future: asyncio.Future[Launched] = self._loop.create_future()
        waiting = self._launches.get(key)
        if waiting is None:
            self._launches[key] = [future]
        else:
            waiting.append(future)
        self._listen_for_silence()
        return await future

    def _send_template(self, template: LaunchTemplate, cwd: str) -> tuple[LaunchTemplate, int]:
        known = self._templates.pop(template.execution, None)
        if known is not None and known[0] == template:
            fresh = (template, known[1])
        else:
            fields = template_fields(template, cwd)
            if known is not None:
                self._say(protocol.DROP, known[1])
            fresh = (template, next(self._numbers))
            self._say(protocol.TEMPLATE, fresh[1], fields)
        self._templates[template.execution] = fresh
        if len(self._templates) > TEMPLATES:
            _, number = self._templates.pop(next(iter(self._templates)))
            self._say(protocol.DROP, number)
        return fresh

    async def wait(self, key: str) -> ExitStatus:
        """Raises AttemptVanished."""
        end = self._ends.get(key)
        if end is not None:
            return end
        if self.book is not None:
            return self._end_by_book(key)
        if self.fault is not None:
            raise self.fault
        if key not in self._watched and self._sock is not None:
            self._watched.add(key)
            self._say(protocol.WATCH, [key])
        future: asyncio.Future[ExitStatus] = self._loop.create_future()
        self._waiters.setdefault(key, []).append(future)
        try:
            return await future
        except asyncio.CancelledError:
            waiting = self._waiters.get(key, [])
            if future in waiting:
                waiting.remove(future)
            raise

    def stop(self, key: str, grace: float) -> None:
        if self._sock is not None:
            self._say(protocol.STOP, key, grace)

    def stopped(self) -> int | None:
        """The process id of the supervisor while somebody keeps it stopped, as SIGSTOP does."""
        info = place.read_info(self.directory) if self._sock is not None else None
        seen = procfs.stat(int(info["pid"])) if info else None
        return int(info["pid"]) if info and seen is not None and seen.state in "tT" else None

    def killed_past_it(self, key: str) -> None:
        """The attempt was killed by us, because its supervisor is stopped."""
        self._on_exited(key, ExitStatus(signal=int(signal.SIGKILL), ended_at=time.time()))

    async def look(self, keys: Sequence[str] | None) -> dict[str, Found]:
        """What is known of these attempts, or of all, by key."""
        if self.book is None:
            tag = next(self._numbers)
            try:
                seen = await self._ask(tag, protocol.LOOK, tag, keys)
                return {entry[0]: self._found(*entry) for entry in seen}
            except NotStarted:
                # It died meanwhile; by now its journal has been read.
                assert self.book is not None
        book = self.book
        found = {
            key: self._found(key, *ended.process, 0.0, ended.exit)
            for key, ended in book.ended.items()
        }
        for key, started in book.started.items():
            found[key] = Found(AttemptKey.parse(key), self._handle(key, *started), Vanished(GONE))
        return found if keys is None else {key: found[key] for key in keys if key in found}

    async def fence(self, execution: str, lease: int) -> None:
        if self.book is None:
            tag = next(self._numbers)
            with contextlib.suppress(NotStarted):
                await self._ask(tag, protocol.FENCE, tag, execution, lease)

    def discard(self, key: str) -> None:
        self._ends.pop(key, None)
        self._watched.discard(key)
        if self.book is None:
            if self._sock is not None:
                self._say(protocol.ACK, [key])
            return
        if self.book.ended.pop(key, None) or self.book.started.pop(key, None):
            self._forgotten.append(key)
            if self._forgetting is None:
                self._forgetting = self._loop.create_task(self._forget())

    async def _forget(self) -> None:
        await asyncio.sleep(0)
        while self._forgotten:
            keys, self._forgotten = self._forgotten, []
            with contextlib.suppress(OSError):
                await asyncio.to_thread(remains.forget, self.directory, keys)
        self._forgetting = None

    async def _ask(self, tag: int, *request: object) -> Any:
        if self._sock is None:
            await self._until_read()
            raise NotStarted
        future = self._questions[tag] = self._loop.create_future()
        self._say(*request)
        self._listen_for_silence()
        try:
            return await future
        finally:
            self._questions.pop(tag, None)

    async def _until_read(self) -> None:
        if self._reading_remains is not None:
            await asyncio.wait([self._reading_remains])
        if self.book is None:
            raise self.fault or BackendFault(f"the line to the supervisor {self.id} is closed")

    def _found(self, key: str, pid: int, ticks: int, at: float, end: Sequence[Any] | None) -> Found:
        sighting: Sighting = Running(at) if end is None else exit_status(end)
        return Found(AttemptKey.parse(key), self._handle(key, pid, ticks), sighting)

    def _handle(self, key: str, pid: int, ticks: int) -> str:
        return f"{self.id}:{self._boot}:{pid}:{ticks}:{key}"

    # ------------------------------------------------------------------ the line

    def _say(self, *message: object) -> None:
        self._outbox.append([*message])
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._sock is None or not self._outbox:
            return
        body = encode(self._outbox)
        self._outbox.clear()
        frame = LENGTH.pack(len(body)) + body
        if self._unsent:
            self._unsent += frame
        else:
            self._send(frame)

    def _send(self, data: bytes) -> None:
        assert self._sock is not None
        try:
            done = self._sock.send(data)
        except BlockingIOError:
            done = 0
        except OSError:
            # The reader sees the end too, after the last answers.
            return
        if done < len(data):
            self._unsent = data[done:]
            self._loop.add_writer(self._sock, self._writable)

    def _writable(self) -> None:
        assert self._sock is not None
        self._loop.remove_writer(self._sock)
        rest, self._unsent = self._unsent, b""
        self._send(rest)

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._heard = True
        for body in self._inbox.feed(data):
            for message in _decode(body):
                self._on_message(message[0], message)

    def _on_message(self, word: str, message: list[Any]) -> None:
        if word == protocol.EXITED:
            self._on_exited(message[1], exit_status(message[1:]))
        elif word == protocol.STARTED:
            _, key, pid, ticks, at = message
            launched = Launched(f"{self.id}:{self._boot}:{pid}:{ticks}:{key}", at)
            for future in self._launches.pop(key, ()):
                if not future.done():
                    future.set_result(launched)
        elif word == protocol.FAILED:
            _, key, permanent, reason, text = message
            self._watched.discard(key)
            for future in self._launches.pop(key, ()):
                if not future.done():
                    future.set_exception(LaunchFailed(text, permanent=permanent, reason=reason))
        elif word in (protocol.SEEN, protocol.FENCED):
            question = self._questions.pop(message[1], None)
            if question is not None and not question.done():
                question.set_result(message[2] if word == protocol.SEEN else None)
        elif word == protocol.UNKNOWN:
            self._watched.discard(message[1])
            self._fail_waiters(message[1], UNKNOWN)
        elif word in (protocol.HELLO, protocol.REFUSED):
            self._on_greeting(word, message[1])

    def _on_greeting(self, word: str, said: object) -> None:
        if self._greeting is None or self._greeting.done():
            return
        if word == protocol.HELLO and said == protocol.VERSION:
            self._greeting.set_result(None)
            return
        self._greeting.set_exception(
            BackendFault(
                f"the supervisor {self.id} was started by another version of jobrunner:"
                f" {said if word == protocol.REFUSED else f'it speaks version {said}'}",
                hint="wait until what it runs has ended, or use the version that started it",
            )
        )

    def _on_exited(self, key: str, end: ExitStatus) -> None:
        if key not in self._watched:
            return
        self._ends[key] = end
        for future in self._waiters.pop(key, ()):
            if not future.done():
                future.set_result(end)

    def _fail_waiters(self, key: str, why: str) -> None:
        for future in self._waiters.pop(key, ()):
            if not future.done():
                future.set_exception(AttemptVanished(f"attempt {key}: {why}"))

    # ------------------------------------------------------------------ silence and death

    def _listen_for_silence(self) -> None:
        if self._silence is None:
            self._heard = False
            self._silence = self._loop.call_later(SILENCE, self._on_silence)

    def _on_silence(self) -> None:
        self._silence = None
        if not self._launches and not self._questions:
            return
        if self._heard:
            self._listen_for_silence()
            return
        for key in self._launches:
            # It may hear all of this later: what is reported as not launched must not run then.
            self._watched.discard(key)
            self._say(protocol.WITHDRAW, key)
        fault = BackendFault(silent(self.directory, SILENCE), hint=how_to_wake(self.directory))
        self._fail_questions(fault)

    def _fail_questions(self, error: Exception) -> None:
        launches = [future for futures in self._launches.values() for future in futures]
        for future in [*launches, *self._questions.values()]:
            if not future.done():
                future.set_exception(error)
        self._launches.clear()
        self._questions.clear()

    def _lost(self) -> None:
        self._hang_up()
        if self._greeting is not None:
            if not self._greeting.done():
                self._greeting.set_exception(ConnectionResetError("it left before it answered"))
        elif not self._closed:
            self._reading_remains = self._loop.create_task(self._read_remains())

    async def _read_remains(self) -> None:
        try:
            self.book = await asyncio.to_thread(wait_for_remains, self.directory, self._prefix)
        except (OSError, SupervisorFault) as error:
            fault = BackendFault(f"what the supervisor {self.id} left cannot be read: {error}")
            self.fault = fault
            self._fail_questions(fault)
            for futures in self._waiters.values():
                for future in futures:
                    if not future.done():
                        future.set_exception(fault)
            self._waiters.clear()
            return
        book = self.book
        for key, launches in self._launches.items():
            begun = book.ended[key].process if key in book.ended else book.started.get(key)
            for launch in launches:
                if launch.done():
                    continue
                if begun is None:
                    launch.set_exception(NotStarted())
                else:
                    launch.set_result(Launched(self._handle(key, *begun), time.time()))
        self._launches.clear()
        self._fail_questions(NotStarted())
        for key, waiters in list(self._waiters.items()):
            for waiter in waiters:
                if waiter.done():
                    continue
                try:
                    waiter.set_result(self._end_by_book(key))
                except AttemptVanished as error:
                    waiter.set_exception(error)
        self._waiters.clear()

    def _end_by_book(self, key: str) -> ExitStatus:
        assert self.book is not None
        end = self.book.ended.get(key)
        if end is None:
            raise AttemptVanished(f"attempt {key}: {GONE}")
        return exit_status(end.exit)


def wait_for_remains(directory: str, mark_prefix: str) -> Book:
    """The book of a supervisor that has hung up: it, or another reader, may still hold the lock
    for a moment. Blocks. Empty where everything had been acknowledged."""
    deadline = time.monotonic() + SILENCE
    while True:
        book = remains.read(directory, mark_prefix)
        if book is not None:
            return book
        if not os.path.exists(directory):
            return Book({}, {})
        if time.monotonic() > deadline:
            raise SupervisorFault(f"its lock is still held after {SILENCE:.0f} s")
        time.sleep(0.002)


def silent(directory: str, seconds: float) -> str:
    """What to say about a supervisor that lives and does not answer."""
    info = place.read_info(directory)
    name = f"the supervisor {os.path.basename(directory)}"
    if info is None:
        return f"{name} does not answer{start.last_words(directory)}"
    seen = procfs.stat(info["pid"])
    state = " and is stopped" if seen is not None and seen.state in "Tt" else ""
    return (
        f"{name} (process {info['pid']}) has not answered for {seconds:.0f} s{state}"
        f"{start.last_words(directory)}"
    )


def how_to_wake(directory: str) -> str | None:
    info = place.read_info(directory)
    return f"if somebody stopped it: kill -CONT {info['pid']}" if info is not None else None
