"""Transcripts of gcloud: pages of commands with all that they print, read and compared.

A page is Markdown. What stands in its ``console`` blocks is a transcript::

    $ gcloud run jobs describe report
    > --format json
    what came on standard output
    2> what came on standard error
    [exit 1]

``[exit N]`` stands where N is not 0. Lines of the two streams are kept apart, standard error last.
A comment before a block says what has to be true when it begins::

    <!-- wait: settled -->        every execution of the page has ended
    <!-- wait: ended -->          the same, and there is one
    <!-- wait: running -->        a task of the page runs
    <!-- file: report.yaml -->    not a transcript but the content of that file

What differs from one run to the next is evened out on both sides: moments, durations, identifiers,
the dots of progress. A name that the server made up stands for the one of this run.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BLOCK = re.compile(
    r"(?P<notes>(?:<!--[^\n]*-->\n)*)```(?P<kind>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOTE = re.compile(r"<!-- (\w+): (.*?) -->")
ERROR = "2>"
EXIT = re.compile(r"\[exit (\d+)\]")
SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
NAME = re.compile(rf"\b[a-z][a-z0-9]*(?:-[a-z0-9]+)*?-{SUFFIX}(?![a-z0-9])")
DAY, TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d"
EVENED = (
    (
        re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC|[+-]\d\d:?\d\d)?"),
        "(when)",
    ),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "(uid)"),
    (re.compile(r"\b(?:\d+ minutes? and )?\d+(?:\.\d+)? ?(?:ms|s|seconds?)\b"), "(time)"),
    (re.compile(r"\b\d+m\d+(?:\.\d+)?s\b"), "(time)"),
    (re.compile(r"\bBy \d\d:\d\d:\d\d\b"), "By (when)"),
    (re.compile(r"\b(eventarc-[a-z0-9-]+?)-\d{3}\b"), r"\1-(digits)"),
    (re.compile(r"localhost:\d+"), "localhost:PORT"),
    (re.compile(r"\b1\d{12}\b"), "(project number)"),
    (re.compile(r"client-version: .*"), "client-version: (varies)"),
    (re.compile(r"nonce=\w+"), "nonce=(varies)"),
    (re.compile(r"the current one is '[^']*'"), "the current one is '(varies)'"),
    (re.compile(r"\.{2,}"), "..."),
    # A dot for each look at something that takes its time.
    (re.compile(r"^\s*\.+(?=(?:done|failed)\.)"), ""),
    (re.compile(r"(?<=\w)\.+(?=(?:done|failed)\b)"), "..."),
    (re.compile(r"(etag|resourceVersion|nonce): .*"), r"\1: (varies)"),
    (
        re.compile(r'("(?:etag|resourceVersion|client.knative.dev/nonce)"): ".*?"'),
        r'\1: "(varies)"',
    ),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"[─│╭╮╰╯┌┐└┘├┤]+"), ""),
)


@dataclass(frozen=True)
class Step:
    """One command, and what the page shows of it."""

    command: str
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    exit_code: int = 0


@dataclass(frozen=True)
class File:
    name: str
    content: str


@dataclass(frozen=True)
class Wait:
    """``for_what`` is ``settled``, ``ended`` or ``running``."""

    for_what: str


Part = Step | File | Wait


def pages() -> list[Path]:
    return sorted(path for path in HERE.glob("*.md") if path.name != "README.md")


def parts_of(page: Path) -> list[Part]:
    return list(_parts(page.read_text()))


def _parts(text: str) -> Iterator[Part]:
    for block in BLOCK.finditer(text):
        notes = NOTE.findall(block["notes"])
        for kind, value in notes:
            if kind == "file":
                yield File(value, block["body"])
            elif kind == "wait":
                yield Wait(value)
            else:
                raise ValueError(f"an unknown note: {kind}")
        if block["kind"] == "console":
            yield from steps_of(block["body"])


def steps_of(body: str) -> Iterator[Step]:
    """The commands of one block."""
    chunk: list[str] = []
    for line in body.splitlines():
        if line.startswith("$ ") and chunk:
            yield _step(chunk)
            chunk = []
        chunk.append(line)
    if chunk:
        yield _step(chunk)


def _step(lines: Sequence[str]) -> Step:
    if not lines[0].startswith("$ "):
        raise ValueError(f"a transcript begins with '$ COMMAND', not with {lines[0]!r}")
    command = [lines[0][2:]]
    rest = list(lines[1:])
    while rest and rest[0].startswith("> "):
        command.append(rest.pop(0)[2:])
    code = 0
    if rest and (ended := EXIT.fullmatch(rest[-1])):
        code = int(ended[1])
        rest.pop()
    stderr = tuple(line[3:] for line in rest if line.startswith(ERROR))
    stdout = tuple(line for line in rest if not line.startswith(ERROR))
    return Step("\n".join(command), stdout, stderr, code)


def written(step: Step) -> str:
    """The transcript of a step, as it stands on a page."""
    first, *more = step.command.split("\n")
    lines = [f"$ {first}", *(f"> {line}" for line in more), *step.stdout]
    lines += [f"{ERROR} {line}".rstrip() for line in step.stderr]
    if step.exit_code:
        lines.append(f"[exit {step.exit_code}]")
    return "\n".join(lines) + "\n"


def even(lines: Sequence[str]) -> list[str]:
    """Lines without what differs from run to run. Progress says the same in more or fewer lines."""
    found = []
    for line in lines:
        for pattern, word in EVENED:
            line = pattern.sub(word, line)
        line = line.strip()
        if line and not (found and found[-1] == line):
            found.append(line)
    return found


class Names:
    """Names that the server made up: those of the page, and those of this run."""

    def __init__(self) -> None:
        self._here: dict[str, str] = {}

    def here(self, text: str) -> str:
        return NAME.sub(lambda found: self._here.get(found[0], found[0]), text)

    def bind(self, shown: str, seen: str) -> None:
        """Pairs names that are new on the page with new ones of this run, by first appearance."""
        known = set(self._here.values())
        new_shown = [n for n in dict.fromkeys(NAME.findall(shown)) if n not in self._here]
        new_seen = [n for n in dict.fromkeys(NAME.findall(seen)) if n not in known]
        self._here.update(zip(new_shown, new_seen, strict=False))


def text_of(step: Step) -> str:
    return "\n".join((*step.stdout, *step.stderr))
