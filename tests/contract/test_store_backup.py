"""The backup that the reference describes is a whole database, taken while a runner writes."""

import os
import re
import subprocess
import sys
from pathlib import Path

from jobrunner.ports import Turn
from jobrunner.store import open_store
from tests.support.stores import NOW, ROOT, a_job, an_execution, leased


def command() -> str:
    page = (ROOT / "docs" / "reference" / "state.md").read_text()
    (found,) = re.findall(r"```sh\n(python3 -c .+?)\n```", page, re.DOTALL)
    return str(found)


def test_the_backup_command_of_the_reference_makes_a_whole_copy(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobrunner.db")
    store.create_job(a_job())
    execution = store.create_execution(leased(an_execution(tasks=1000)))
    store.record(Turn(execution, at=NOW, changes=[("started", {})]))
    line = command().replace("/backup/jobrunner.db", f"{tmp_path}/copy.db")
    assert line != command()
    subprocess.run(
        ["sh", "-c", line.replace("python3", sys.executable)],
        env={**os.environ, "JOBRUNNER_HOME": str(tmp_path)},
        check=True,
    )
    store.delete_job(a_job().scope, "job")
    copy = open_store(f"sqlite:///{tmp_path}/copy.db")
    assert copy.get_execution_by_uid(execution.uid).lease == execution.lease
    assert len(copy.list_tasks(execution.uid)) == 1000
    assert [change.kind for change in copy.changes(0)] == ["created", "started"]
    assert copy.facts()["journal_mode"] == "wal"
    copy.close()
    store.close()
