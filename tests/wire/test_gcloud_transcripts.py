"""Each page of ``tests/wire/gcloud`` is what the real gcloud prints against a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.components import require
from tests.wire.gcloud.pages import Step, even, pages, parts_of, written
from tests.wire.gcloud.playing import Players, Stage, emulated
from tests.wire.running import serving

PAGES = pages()
PROMISED = (
    *(
        f"run jobs {verb}"
        for verb in (
            "create", "deploy", "update", "replace", "describe", "list", "delete", "execute",
            "add-iam-policy-binding", "get-iam-policy", "set-iam-policy",
            "remove-iam-policy-binding", "logs read",
        )
    ),
    *(f"run jobs executions {verb}" for verb in ("list", "describe", "cancel", "delete")),
    *(f"run jobs executions tasks {verb}" for verb in ("list", "describe")),
    "run regions list",
    *(
        f"tasks queues {verb}"
        for verb in (
            "create", "update", "list", "describe", "pause", "resume", "purge", "delete",
            "get-iam-policy", "add-iam-policy-binding", "remove-iam-policy-binding",
        )
    ),
    *(
        f"tasks {verb}"
        for verb in ("create-http-task", "list", "describe", "run", "delete", "buffer")
    ),
    "tasks locations list",
    *(f"pubsub topics {verb}" for verb in ("create", "list", "describe", "publish", "delete")),
    *(f"pubsub subscriptions {verb}" for verb in ("create", "list", "pull", "delete")),
    *(f"eventarc triggers {verb}" for verb in ("create", "list", "describe", "update", "delete")),
    *(
        f"eventarc channels {verb}"
        for verb in ("create", "list", "describe", "update", "delete", "publish")
    ),
    *(f"eventarc providers {verb}" for verb in ("list", "describe")),
    "eventarc locations list",
)  # fmt: skip


@pytest.fixture(scope="module")
def players(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Players]:
    """One server for all pages; those that were asked for are played in the background."""
    require("gcloud")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("gcloud")
        home = folder / "home"
        patch.setenv("JOBRUNNER_HOME", str(home))
        with emulated(folder), serving(home) as server:
            found = Players(Stage.at(server.url), folder)
            for page in PAGES:
                if any(item.name.endswith(f"[{page.stem}]") for item in request.session.items):
                    found.begin(page)
            yield found
            found.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.timeout(900)
def test_the_page_shows_what_gcloud_prints(page: Path, players: Players) -> None:
    if page.stem == "pubsub":
        require("pubsub")
    for one in players.result(page):
        here, there = one.seen, one.shown
        same = (
            here.exit_code == there.exit_code
            and even(here.stdout) == even(there.stdout)
            and even(here.stderr) == even(there.stderr)
        )
        assert same, f"{page.name} shows:\n{written(there)}\nand here came:\n{written(here)}"


def test_how_long_something_took_is_no_part_of_a_page() -> None:
    assert even(["Elapsed time: 17 seconds"]) == even(["Elapsed time: 1 minute and 3 seconds"])


def test_the_pages_show_enough_and_every_command_that_is_promised() -> None:
    commands = [part.command for page in PAGES for part in parts_of(page) if isinstance(part, Step)]
    assert len(commands) >= 60
    said = "\n".join(commands)
    missing = [words for words in PROMISED if f"gcloud {words}" not in said]
    assert not missing
