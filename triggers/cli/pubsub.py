"""``jobrunner pubsub``: topics and messages of the Pub/Sub emulator, and the emulator itself.

What is made goes to the emulator that ``PUBSUB_EMULATOR_HOST`` names, or to the one that the server
of this home works with; never to Google.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.asking import confirmed, quiet_option
from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import whole

if TYPE_CHECKING:
    from jobrunner.client.documents import DocumentClient

EMULATOR = "PUBSUB_EMULATOR_HOST"
ALIAS = "pubsub.localhost"
"""A server passes on to its emulator what is meant for this name."""
PORT = 8085
Document = dict[str, Any]

topics_argument = click.argument("topics", metavar="TOPIC...", nargs=-1, required=True)


@click.group(cls=Group)
def pubsub() -> None:
    """Make topics, publish messages, and start Google's Pub/Sub emulator."""


@pubsub.group(cls=Group)
def topics() -> None:
    """Make, list and delete topics of the emulator."""


@topics.command(examples=("jobrunner pubsub topics create orders refunds",))
@topics_argument
@with_state
def create(state: State, topics: tuple[str, ...]) -> None:
    """Make topics."""
    client = emulator_of(state)
    for topic in topics:
        client.call("PUT", path_of(state, topic), body={})
        click.echo(f"Created topic '{topic}'.", err=True)


@topics.command("list", examples=("jobrunner pubsub topics list",))
@read_format
@with_state
def list_(state: State, form: str) -> None:
    """List the topics of the project."""
    from jobrunner.cli.output import emit, table

    client, project = emulator_of(state), state.scope().project
    found: list[Document] = []
    token = ""
    while True:
        page = client.call(
            "GET", f"/v1/projects/{_quoted(project)}/topics", query={"pageToken": token}
        )
        found += page.get("topics", [])
        token = page.get("nextPageToken", "")
        if not token:
            break
    found.sort(key=lambda one: str(one["name"]))
    rows = [(one["name"].rpartition("/")[2], one["name"]) for one in found]
    emit(form, lambda: found, lambda: table(("TOPIC", "NAME"), rows))


@topics.command(examples=("jobrunner pubsub topics delete refunds --quiet",))
@topics_argument
@quiet_option
@with_state
def delete(state: State, topics: tuple[str, ...], quiet: bool) -> None:
    """Delete topics; their subscriptions stay, with what they have."""
    from jobrunner.errors import NotFound

    client = emulator_of(state)
    several = f"{len(topics)} topics" if len(topics) > 1 else f"topic '{topics[0]}'"
    confirmed(f"Delete {several}?", quiet=quiet)
    for topic in topics:
        try:
            client.call("DELETE", path_of(state, topic))
        except NotFound:
            raise NotFound(f"There is no topic '{topic}'.") from None
        click.echo(f"Deleted topic '{topic}'.", err=True)


@pubsub.command(
    examples=(
        "jobrunner pubsub publish orders --message '{\"id\": 7}' --attribute kind=new",
        "jobrunner pubsub publish orders --message-from-file order.json --ordering-key eu",
    )
)
@click.argument("topic", metavar="TOPIC")
@click.option("--message", metavar="TEXT", help="The data.")
@click.option(
    "--message-from-file",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help="The data as it is in FILE; '-' is standard input.",
)
@click.option(
    "--attribute", "attributes", multiple=True, metavar="K=V,...", help="May be repeated."
)
@click.option("--ordering-key", metavar="KEY", help="Messages of one key stay in their order.")
@with_state
def publish(
    state: State,
    topic: str,
    message: str | None,
    file: Any,
    attributes: tuple[str, ...],
    ordering_key: str | None,
) -> None:
    """Publish a message; prints its id."""
    from base64 import b64encode

    from jobrunner.cli.values import merge_dicts
    from jobrunner.errors import NotFound

    if message is not None and file is not None:
        raise click.UsageError("--message and --message-from-file exclude one another.")
    try:
        pairs = merge_dicts(attributes)
    except ValueError as error:
        raise click.UsageError(f"--attribute: {error}") from None
    data = file.read() if file is not None else _bytes(message or "")
    if not data and not pairs:
        raise click.UsageError("A message has data or attributes: --message, --attribute.")
    document: Document = {"data": b64encode(data).decode(), "attributes": pairs}
    if ordering_key:
        document["orderingKey"] = ordering_key
    client = emulator_of(state)
    path = f"{path_of(state, topic)}:publish"
    try:
        answer = client.call("POST", path, body={"messages": [document]})
    except NotFound:
        raise NotFound(
            f"There is no topic '{topic}'.", hint=f"Make it: jobrunner pubsub topics create {topic}"
        ) from None
    for one in answer.get("messageIds", []):
        click.echo(one)


@pubsub.command(
    examples=("jobrunner pubsub emulator", "jobrunner pubsub emulator --port 8432"),
)
@click.option(
    "--port", type=whole(1, 65_535), default=PORT, show_default=True, metavar="PORT",
    help="Where it answers, on 127.0.0.1.",
)  # fmt: skip
@with_state
def emulator(state: State, port: int) -> int:
    """Start Google's Pub/Sub emulator, and look after it until Ctrl-C.

    It is started again when it dies; a server that works with it makes its topics and subscriptions
    again. Standard output has the line that points other programs at it.
    """
    from triggers.cli.pubsub_emulator import Emulator, found

    return Emulator(found(), port, state.scope().project).run()


# ------------------------------------------------------------------------ the emulator's API


def emulator_of(state: State) -> DocumentClient:
    """Raises Refused where none is known."""
    from jobrunner.client.documents import DocumentClient
    from jobrunner.client.finding import find_server, parse_endpoint
    from jobrunner.errors import Refused

    named = os.environ.get(EMULATOR, "")
    if named:
        return DocumentClient(parse_endpoint(f"http://{named}", "", EMULATOR))
    server = find_server(os.environ, state.settings().home)
    if server is None:
        raise Refused(
            f"No Pub/Sub emulator is known: {EMULATOR} is not set, and no server runs.",
            hint="Start one: jobrunner pubsub emulator. For Google's own: gcloud pubsub",
        )
    return DocumentClient(server, host=f"{ALIAS}:{server.port}")


def path_of(state: State, topic: str) -> str:
    """``topic`` is a short name, or ``projects/P/topics/T``. Raises UsageError."""
    parts = topic.split("/")
    if len(parts) == 4 and parts[0] == "projects" and parts[2] == "topics":
        project, name = parts[1], parts[3]
    elif len(parts) == 1:
        project, name = state.scope().project, topic
    else:
        project = name = ""
    if not project or not name:
        from jobrunner.errors import UsageError

        form = "allowed: NAME or projects/PROJECT/topics/NAME"
        raise UsageError(f"'{topic[:200]}' is not a topic; {form}")
    return f"/v1/projects/{_quoted(project)}/topics/{_quoted(name)}"


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(_bytes(text), safe="")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
