"""News as lines: aligned for people, coloured on a terminal, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from jobrunner.core.news import News, Tone
from jobrunner.core.timestamps import format_time

CODES = {Tone.GOOD: "\x1b[32m", Tone.BAD: "\x1b[31m", Tone.BUSY: "\x1b[33m", Tone.PLAIN: ""}
DIM, RESET = "\x1b[2m", "\x1b[0m"
WHAT, STATE, NAME = 8, 10, 34


def has_colour(stream: TextIO, env: Mapping[str, str]) -> bool:
    """By ``NO_COLOR`` and ``TERM``, on a terminal."""
    try:
        terminal = stream.isatty()
    except ValueError:
        return False
    return terminal and not env.get("NO_COLOR") and env.get("TERM", "") not in ("", "dumb")


def line_for_people(news: News, *, colour: bool, virtual: bool) -> str:
    """``virtual`` time is far from today, so it comes with its date, in UTC."""
    if virtual:
        at = format_time(news.at)[:19].replace("T", " ")
    else:
        at = time.strftime("%H:%M:%S", time.localtime(news.at))
    state = f"{_plain(news.state):<{STATE}}"
    if colour:
        at = f"{DIM}{at}{RESET}"
        code = CODES[news.tone]
        state = f"{code}{state}{RESET}" if code else state
    head = f"{at}  {news.what:<{WHAT}}  {state}  {_plain(news.name):<{NAME}}"
    return f"{head}  {_plain(news.detail)}".rstrip()


def line_for_programs(news: News) -> str:
    document = {
        "time": format_time(news.at),
        "kind": news.what,
        "name": news.name,
        "state": news.state,
        "detail": news.detail,
        **news.fields,
    }
    return json.dumps(document, ensure_ascii=False)


def _plain(text: str) -> str:
    """On one line, and without what a terminal would take for an order."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


class Printer:
    """Writes to standard output; a reader that went away is no reason to end."""

    def __init__(self, form: str, virtual: bool) -> None:
        self._json = form == "json"
        self._virtual = virtual
        self._colour = has_colour(sys.stdout, os.environ)
        self._gone = False

    def tell(self, news: News) -> None:
        if self._gone:
            return
        if self._json:
            line = line_for_programs(news)
        else:
            line = line_for_people(news, colour=self._colour, virtual=self._virtual)
        try:
            print(line, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "replace").decode(), flush=True)
        except OSError:
            self._gone = True
