"""Printing stored output: the options that choose, and the ways to print a line."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli import values
from jobrunner.cli.base import Decorator, read_format
from jobrunner.cli.params import INDICES, Parsed, whole

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened
    from jobrunner.core.records import Execution
    from jobrunner.service.logs import LogLine

INSTANT = Parsed("time", lambda text: values.instant(text, time.time()))
STREAMS = {"stdout": 1, "stderr": 2}


def log_options(*, index: bool) -> Decorator:
    """The options of every ``logs`` command."""
    options = [
        click.option("--attempt", type=whole(0), metavar="N", help="Only this attempt, from 0."),
        click.option("--stream", type=click.Choice(list(STREAMS)), help="Only this stream."),
        click.option(
            "--since", type=INSTANT, metavar="TIME", help="From then on: 10m, or RFC 3339."
        ),
        click.option("--until", type=INSTANT, metavar="TIME", help="Before then."),
        click.option("--tail", type=whole(0), metavar="N", help="Only the last lines."),
        click.option("--follow", "-f", is_flag=True, help="Go on until the execution has ended."),
        click.option("--timestamps", is_flag=True, help="Lead each line by its time."),
        read_format,
    ]
    if index:
        options.insert(
            0,
            click.option(
                "--index",
                "indices",
                type=INDICES,
                metavar="LIST",
                help="Only these, as 3,7-9.",
            ),
        )

    def add(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def print_logs(
    app: Opened,
    execution: Execution,
    indices: tuple[int, ...] | None,
    flags: Mapping[str, Any],
) -> None:
    """Prints the wanted lines to standard output, as they were written."""
    from jobrunner.service.logs import LogFilter, Logs

    wanted = LogFilter(
        indices=None if indices is None else frozenset(indices),
        attempt=flags["attempt"],
        stream=STREAMS.get(flags["stream"]),
        since=flags["since"],
        until=flags["until"],
    )
    logs = Logs(app.store, app.logs, is_driven=app.is_driven)
    one_task = execution.task_count == 1 or (indices is not None and len(indices) == 1)
    form = printer(flags["form"], execution, prefix=not one_task, stamps=flags["timestamps"])
    out = sys.stdout.buffer
    sys.stdout.flush()

    def put(lines: Iterable[LogLine], *, flush: bool) -> None:
        for line in lines:
            out.write(form(line))
            if flush:
                out.flush()
        out.flush()

    tail, follow = flags["tail"], flags["follow"]
    if tail is None:
        lines = logs.follow(execution, wanted) if follow else logs.lines(execution, wanted)
        put(lines, flush=follow)
        return
    if not follow:
        put(deque(logs.lines(execution, wanted), maxlen=tail), flush=False)
        return
    put(logs.follow(execution, wanted, tail=tail), flush=True)


def printer(
    form: str, execution: Execution, *, prefix: bool, stamps: bool
) -> Callable[[LogLine], bytes]:
    """How a line becomes bytes."""
    if form == "json":
        return lambda line: json_line(execution, line)
    if form == "yaml":
        return lambda line: yaml_document(execution, line)
    return lambda line: text_line(line, prefix=prefix, stamps=stamps)


def text_line(line: LogLine, *, prefix: bool, stamps: bool) -> bytes:
    """The bytes of a line. A last line without a line end stays so if nothing is put before it."""
    from jobrunner.cli.live.sinks import gap_text, line_prefix
    from jobrunner.cli.words import rfc3339

    lead = b""
    if stamps:
        lead += f"{rfc3339(line.at)} ".encode()
    if prefix:
        lead += line_prefix(line)
    if line.dropped:
        return lead + gap_text(line.dropped) + b"\n"
    return lead + line.data + (b"\n" if line.ended or lead else b"")


def line_view(execution: Execution, line: LogLine) -> dict[str, Any]:
    """A line as a document; a structured one carries what it says about itself (contract: special
    fields of JSON lines)."""
    from jobrunner.cli.words import rfc3339
    from jobrunner.core.logentry import parse_entry

    view: dict[str, Any] = {
        "time": rfc3339(line.at),
        "execution": execution.name,
        "index": line.index,
        "attempt": line.attempt,
        "stream": "stderr" if line.stream == 2 else "stdout",
    }
    if line.dropped:
        return {**view, "droppedBytes": line.dropped}
    entry = parse_entry(line.data, line.stream, line.at)
    view |= {"severity": entry.severity, "message": entry.message}
    if entry.timestamp != entry.received_at:
        view["timestamp"] = rfc3339(entry.timestamp)
    own = {
        "payload": entry.payload,
        "labels": dict(entry.labels),
        "trace": entry.trace,
        "spanId": entry.span_id,
        "insertId": entry.insert_id,
        "httpRequest": entry.http_request,
    }
    return {**view, **{name: value for name, value in own.items() if value}}


def json_line(execution: Execution, line: LogLine) -> bytes:
    import json

    return json.dumps(line_view(execution, line), ensure_ascii=False).encode() + b"\n"


def yaml_document(execution: Execution, line: LogLine) -> bytes:
    from jobrunner.cli.output import yaml_text

    return b"---\n" + yaml_text(line_view(execution, line)).encode()
