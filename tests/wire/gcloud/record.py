"""Writes the transcripts anew: ``python -m tests.wire.gcloud.record [PAGE...]``.

Plays the commands of the pages and puts what came in place of what stood there. A new page needs
its commands only. Read every line that has changed: it is what a user sees.
"""

import argparse
import os
import re
import tempfile
from pathlib import Path

from tests.wire.gcloud.pages import BLOCK, Step, pages, steps_of, written
from tests.wire.gcloud.playing import Players, Stage, emulated
from tests.wire.running import serving


def rewritten(text: str, seen: list[Step]) -> str:
    """The page with what was seen, and the names of this run in its commands."""
    rest = iter(seen)

    def block(found: re.Match[str]) -> str:
        if found["kind"] != "console":
            return found[0]
        body = "".join(written(next(rest)) for _ in steps_of(found["body"]))
        return f"{found['notes']}```console\n{body}```"

    return BLOCK.sub(block, text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the transcripts of gcloud.")
    parser.add_argument("pages", nargs="*", help="names without .md; all without one")
    wanted = parser.parse_args().pages
    chosen = [page for page in pages() if not wanted or page.stem in wanted]
    with tempfile.TemporaryDirectory(prefix="jr-", dir="/tmp") as folder:
        os.environ["JOBRUNNER_HOME"] = f"{folder}/home"
        with emulated(Path(folder)), serving(Path(folder) / "home") as server:
            players = Players(Stage.at(server.url), Path(folder))
            for page in chosen:
                players.begin(page)
            for page in chosen:
                played = players.result(page)
                page.write_text(rewritten(page.read_text(), [one.seen for one in played]))
                print(f"{page.name}: {len(played)} commands")
            players.close()


if __name__ == "__main__":
    main()
