"""The supervisor's one loop: output, requests, exits, starts, deadlines, journal, answers.

Each turn takes these in this order, and no step of it waits or takes long: one read per stream and
runner, a bounded number of starts, one write to the journal, one frame per runner.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from jobrunner.backends.supervisor import kernel, place, protocol
from jobrunner.backends.supervisor.attempt import Attempt, Template
from jobrunner.backends.supervisor.capture import Watch
from jobrunner.backends.supervisor.diary import note, note_exception
from jobrunner.backends.supervisor.family import Family, send_group
from jobrunner.backends.supervisor.fences import Fences
from jobrunner.backends.supervisor.journal import Journal
from jobrunner.backends.supervisor.launching import Launcher
from jobrunner.backends.supervisor.peer import Gone, Peer
from jobrunner.backends.supervisor.program import Refusal

STARTS_PER_TURN = 16
SETTLE = 0.005
"""Seconds an attempt lives before its output is listened to; until then the pipes hold it."""
FIRST_CONTACT = 10.0
"""Seconds a supervisor waits for its first runner."""
JOURNAL_RETRY = 0.5
SIGNALS = (signal.SIGCHLD,)


class Supervisor:
    def __init__(
        self, directory: str, mark_prefix: str, listener: socket.socket, signals: int
    ) -> None:
        self._directory = directory
        self._poll = select.epoll()
        self._watch = Watch(self._poll)
        self._streams = self._watch.by_fd
        self._listener = listener
        self._signals = signals
        self._poll.register(listener.fileno(), select.EPOLLIN)
        self._poll.register(signals, select.EPOLLIN)
        self._journal = Journal(os.path.join(directory, place.JOURNAL))
        self._lines: list[str] = []
        self._reports: list[Attempt] = []
        self._journal_retry = 0.0
        self._launcher = Launcher(mark_prefix)
        self._family = Family(mark_prefix)
        self._fences = Fences(place.fences_beside(directory))
        self._peers: dict[int, Peer] = {}
        self._attempts: dict[str, Attempt] = {}
        self._mains: dict[int, Attempt] = {}
        self._dying: list[Attempt] = []
        self._wanted: deque[tuple[Peer, list[Any], Template]] = deque()
        self._orders: dict[str, float] = {}
        self._settling: deque[tuple[float, Attempt]] = deque()
        self._timers: list[tuple[float, int, Attempt]] = []
        self._timer_count = 0
        self._patience = time.monotonic() + FIRST_CONTACT
        self._requests: dict[str, Callable[..., None]] = {
            protocol.TEMPLATE: self._on_template,
            protocol.DROP: self._on_drop,
            protocol.SPAWN: self._on_spawn,
            protocol.WATCH: self._on_watch,
            protocol.STOP: self._on_stop,
            protocol.WITHDRAW: self._on_withdraw,
            protocol.LOOK: self._on_look,
            protocol.ACK: self._on_ack,
            protocol.FENCE: self._on_fence,
        }

    # ------------------------------------------------------------------ life

    def run(self) -> None:
        """Until nothing is held and nobody is connected."""
        while not self._idle():
            try:
                self._turn()
            except Exception:
                # Whatever it is: what runs here has nobody else.
                note_exception()
                time.sleep(0.05)
        self._leave()

    def _idle(self) -> bool:
        if self._mains or self._dying or self._wanted or self._reports:
            return False
        return not self._peers and time.monotonic() >= self._patience

    def _leave(self) -> None:
        # Ends that no runner has stored yet stay in the journal, for the next one.
        if not self._attempts:
            place.remove(self._directory)

    def _turn(self) -> None:
        events = self._poll.poll(self._timeout())
        ended = False
        arrivals = False
        for fd, mask in events:
            stream = self._streams.get(fd)
            if stream is not None:
                if not stream.pump():
                    self._watch.close(stream)
            elif fd in self._peers:
                self._serve(self._peers[fd], mask)
            elif fd == self._signals:
                ended = True
            else:
                arrivals = True
        if arrivals:
            self._accept()
        if ended:
            self._on_signals()
        if self._wanted:
            self._start_some()
        now = time.monotonic()
        if self._settling and self._settling[0][0] <= now:
            self._listen(now)
        if self._timers and self._timers[0][0] <= now:
            self._on_time(now)
        if self._lines:
            self._write_journal(now)
        for peer in list(self._peers.values()):
            if peer.outbox:
                self._flush(peer)

    def _timeout(self) -> float | None:
        if self._wanted:
            return 0.0
        while self._settling and self._settling[0][1].exit is not None:
            self._settling.popleft()
        due = [entry[0][0] for entry in (self._settling, self._timers) if entry]
        if self._lines:
            due.append(self._journal_retry)
        if not self._peers and not self._mains:
            due.append(self._patience)
        return max(0.0, min(due) - time.monotonic()) if due else None

    # ------------------------------------------------------------------ runners

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            sock.setblocking(False)
            if place.trusted(sock):
                peer = Peer(sock, self._poll)
                self._peers[peer.fd] = peer
                self._patience = 0.0
            else:
                sock.close()

    def _serve(self, peer: Peer, mask: int) -> None:
        try:
            if mask & select.EPOLLOUT:
                peer.resume()
            if mask & ~select.EPOLLOUT:
                for message in peer.receive():
                    if peer.leaving:
                        return
                    self._dispatch(peer, message)
        except Gone:
            self._part(peer)
        except (protocol.SupervisorFault, ValueError, TypeError, KeyError, IndexError) as error:
            note_exception()
            self._refuse(peer, f"a request could not be understood ({type(error).__name__})")

    def _dispatch(self, peer: Peer, message: list[Any]) -> None:
        if peer.greeted:
            self._requests[message[0]](peer, *message[1:])
            return
        if message[0] != protocol.HELLO or message[1] != protocol.VERSION:
            self._refuse(
                peer,
                f"this supervisor speaks version {protocol.VERSION} of the protocol, the runner"
                f" said {message[:2]}",
            )
            return
        peer.greeted = True
        peer.say(protocol.HELLO, protocol.VERSION)

    def _refuse(self, peer: Peer, text: str) -> None:
        peer.leaving = True
        peer.say(protocol.REFUSED, text)

    def _flush(self, peer: Peer) -> None:
        try:
            peer.flush()
        except Gone:
            self._part(peer)
            return
        if peer.leaving:
            self._part(peer)

    def _part(self, peer: Peer) -> None:
        if self._peers.pop(peer.fd, None) is None:
            return
        for attempt in self._attempts.values():
            if peer in attempt.watchers:
                attempt.watchers.remove(peer)
        peer.close()

    # ------------------------------------------------------------------ requests

    def _on_template(self, peer: Peer, number: int, fields: dict[str, Any]) -> None:
        template = Template(fields)
        peer.templates[number] = template
        self._fences.recall(template.execution)

    def _on_drop(self, peer: Peer, number: int) -> None:
        del peer.templates[number]

    def _on_spawn(self, peer: Peer, *request: Any) -> None:
        if request[1].split() != [request[1]]:
            raise ValueError("an attempt's key is one word")
        self._wanted.append((peer, list(request), peer.templates[request[0]]))

    def _on_watch(self, peer: Peer, keys: list[str]) -> None:
        for key in keys:
            attempt = self._attempts.get(key)
            if attempt is None:
                peer.say(protocol.UNKNOWN, key)
            else:
                self._watch_for(peer, attempt)

    def _watch_for(self, peer: Peer, attempt: Attempt) -> None:
        if attempt.exit is not None and attempt not in self._reports:
            peer.outbox.append(protocol.exited_text(attempt.exit_text))
        elif peer not in attempt.watchers:
            attempt.watchers.append(peer)

    def _on_stop(self, peer: Peer, key: str, grace: float) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None:
            self._stop(attempt, grace)
        elif any(request[1] == key for _, request, _ in self._wanted):
            self._orders[key] = min(grace, self._orders.get(key, grace))

    def _on_withdraw(self, peer: Peer, key: str) -> None:
        """The runner has given a launch up: it is not carried out, or undone."""
        self._wanted = deque(entry for entry in self._wanted if entry[1][1] != key)
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.exit is None:
            attempt.withdrawn = True
            self._stop(attempt, 0.0)

    def _on_look(self, peer: Peer, tag: int, keys: list[str] | None) -> None:
        # Starts that were asked for before come first, or the answer would deny them.
        while self._wanted:
            self._start_some()
        chosen = self._attempts if keys is None else [key for key in keys if key in self._attempts]
        seen = [
            (a.key, a.pid, a.ticks, a.at, None if a in self._reports else a.exit)
            for a in map(self._attempts.__getitem__, chosen)
        ]
        peer.say(protocol.SEEN, tag, seen)

    def _on_ack(self, peer: Peer, keys: list[str]) -> None:
        known = [
            key for key in keys
            if (attempt := self._attempts.get(key)) is not None and attempt.exit is not None
        ]  # fmt: skip
        if known:
            self._forget(known)

    def _forget(self, keys: list[str]) -> None:
        for key in keys:
            del self._attempts[key]
        self._lines.append(f"A {' '.join(keys)}\n")

    def _on_fence(self, peer: Peer, tag: int, execution: str, lease: int) -> None:
        # Starts that were asked for before count as before.
        while self._wanted:
            self._start_some()
        self._fences.admits(execution, lease)
        peer.say(protocol.FENCED, tag)

    # ------------------------------------------------------------------ starts

    def _start_some(self) -> None:
        batch = []
        for _ in range(min(len(self._wanted), STARTS_PER_TURN)):
            peer, (_, key, env, log, lease), template = self._wanted.popleft()
            attempt = self._attempts.get(key)
            if not self._fences.admits(template.execution, lease):
                self._fail(peer, key, self._fences.refusal(template.execution, lease))
            elif attempt is not None:
                self._tell_started(peer, attempt)
            else:
                batch.append((peer, key, env, log, template))
        if not batch:
            return
        try:
            self._journal.append([f"S {' '.join(entry[1] for entry in batch)}\n"])
        except OSError as error:
            refusal = Refusal(
                False,
                "JournalUnwritable",
                f"nothing is started while the journal in {self._directory} cannot be written:"
                f" {error.strerror}",
            )
            for peer, key, *_ in batch:
                self._fail(peer, key, refusal)
            return
        for peer, key, env, log, template in batch:
            again = self._attempts.get(key)
            if again is not None:
                self._tell_started(peer, again)
                continue
            result = self._launcher.launch(key, template, env, log, len(self._mains))
            if isinstance(result, Refusal):
                self._lines.append(f"F {key}\n")
                self._fail(peer, key, result)
            else:
                self._started(peer, result)
        self._launcher.park()

    def _started(self, peer: Peer, attempt: Attempt) -> None:
        key, pid = attempt.key, attempt.pid
        self._attempts[key] = attempt
        self._mains[pid] = attempt
        self._family.born(pid, key)
        self._lines.append(f"P {key} {pid} {attempt.ticks}\n")
        now = time.monotonic()
        self._settling.append((now + SETTLE, attempt))
        if attempt.template.timeout is not None:
            self._at(now + attempt.template.timeout, attempt)
        self._tell_started(peer, attempt)
        if key in self._orders:
            self._stop(attempt, self._orders.pop(key))

    def _tell_started(self, peer: Peer, attempt: Attempt) -> None:
        if self._peers.get(peer.fd) is peer:
            peer.outbox.append(
                protocol.started_text(attempt.key, attempt.pid, attempt.ticks, attempt.at)
            )
            self._watch_for(peer, attempt)

    def _fail(self, peer: Peer, key: str, refusal: Refusal) -> None:
        self._orders.pop(key, None)
        if self._peers.get(peer.fd) is peer:
            peer.say(protocol.FAILED, key, *refusal)

    def _listen(self, now: float) -> None:
        while self._settling and self._settling[0][0] <= now:
            _, attempt = self._settling.popleft()
            if attempt.exit is None:
                self._watch.add(attempt.out)
                self._watch.add(attempt.err)

    # ------------------------------------------------------------------ ends

    def _on_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals, 8 * kernel.RECORD_BYTES)
        self._reap()
        if self._dying:
            self._bury()

    def _reap(self) -> None:
        while True:
            try:
                peek = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if peek is None:
                return
            pid = peek.si_pid
            attempt = self._mains.get(pid)
            if attempt is None:
                os.waitpid(pid, 0)
                self._family.reaped(pid)
                continue
            # Its group goes before it is reaped: until then its number cannot be another's.
            send_group(pid, signal.SIGKILL)
            _, attempt.status, attempt.usage = os.wait4(pid, 0)
            attempt.ended = time.time()
            del self._mains[pid]
            self._dying.append(attempt)

    def _bury(self) -> None:
        """Reports the ended attempts of which nothing is left, and kills what is left of others."""
        family = self._family
        family.survey(self._mains)
        if family.strays:
            living = self._living()
            for owner in set(family.strays.values()):
                # What nobody's tree explains goes when no attempt is left that it could be of.
                if owner not in living and (owner is not None or not living):
                    family.kill_strays(owner)
            waiting = [
                attempt for attempt in self._dying
                if family.of(attempt.key) or (not self._mains and family.of_nobody())
            ]  # fmt: skip
        else:
            waiting = []
        for attempt in self._dying:
            if attempt not in waiting:
                self._finish(attempt)
        self._dying = waiting

    def _living(self) -> set[str]:
        return {attempt.key for attempt in self._mains.values()}

    def _finish(self, attempt: Attempt) -> None:
        for stream in (attempt.out, attempt.err):
            if stream.fd >= 0:
                stream.drain()
                self._watch.close(stream)
        writer, usage = attempt.writer, attempt.usage
        writer.close()
        code = os.waitstatus_to_exitcode(attempt.status or 0)
        attempt.exit = ended = protocol.Exit(
            attempt.key,
            code if code >= 0 else None,
            -code if code < 0 else None,
            usage.ru_utime,
            usage.ru_stime,
            usage.ru_maxrss * 1024,
            attempt.at,
            attempt.ended,
            attempt.stopped,
            writer.written,
            writer.lost,
        )
        self._family.buried(attempt.pid, attempt.key)
        attempt.exit_text = ended.text()
        self._lines.append(f"X {attempt.exit_text}\n")
        self._reports.append(attempt)

    # ------------------------------------------------------------------ stopping

    def _stop(self, attempt: Attempt, grace: float) -> None:
        if attempt.pid not in self._mains or self._mains[attempt.pid] is not attempt:
            return
        kill_at = time.monotonic() + grace
        if attempt.kill_at is not None:
            if attempt.kill_at <= kill_at:
                return
        elif grace > 0:
            self._family.terminate(attempt.key, attempt.pid, self._mains)
        attempt.kill_at = kill_at
        if grace > 0:
            self._at(kill_at, attempt)
        else:
            self._kill(attempt)

    def _kill(self, attempt: Attempt) -> None:
        # What outlives the main process is killed when that one's end is seen.
        self._family.survey(self._mains)
        self._family.below(attempt.key, [attempt.pid])
        send_group(attempt.pid, signal.SIGKILL)
        self._family.kill_strays(attempt.key)

    def _at(self, when: float, attempt: Attempt) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, attempt))
        if len(self._timers) > 64 + 4 * len(self._mains):
            self._timers = [timer for timer in self._timers if timer[2].status is None]
            heapq.heapify(self._timers)

    def _on_time(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            attempt = heapq.heappop(self._timers)[2]
            if attempt.status is not None:
                continue
            if attempt.kill_at is None:
                attempt.stopped = protocol.TIMEOUT
                self._stop(attempt, attempt.template.grace)
            elif attempt.kill_at <= now:
                self._kill(attempt)

    # ------------------------------------------------------------------ journal

    def _write_journal(self, now: float) -> None:
        if self._journal_retry > now:
            return
        try:
            self._journal.append(self._lines)
        except OSError as error:
            if not self._journal_retry:
                note(f"the journal cannot be written: {error}")
            self._journal_retry = now + JOURNAL_RETRY
            return
        self._journal_retry = 0.0
        self._lines.clear()
        for attempt in self._reports:
            for peer in attempt.watchers:
                peer.outbox.append(protocol.exited_text(attempt.exit_text))
            attempt.watchers.clear()
            if attempt.withdrawn:
                self._forget([attempt.key])
        self._reports.clear()
        if self._journal.wants_compaction:
            with contextlib.suppress(OSError):
                self._journal.rewrite(self._open_lines())

    def _open_lines(self) -> Iterator[str]:
        for attempt in self._attempts.values():
            yield f"S {attempt.key}\nP {attempt.key} {attempt.pid} {attempt.ticks}\n"
            if attempt.exit is not None:
                yield f"X {attempt.exit_text}\n"
