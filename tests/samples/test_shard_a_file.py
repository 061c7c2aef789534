import csv
import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples.record import endings
from tests.samples.transcript import ROOT, play

HERE = ROOT / "samples" / "02-shard-a-file"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shard = loaded("shard")


def test_shard_a_file_runs_as_its_readme_says(copy: Path) -> None:
    played = play(copy / "samples/02-shard-a-file/README.md", copy)
    assert [part.exit_code for part in played] == [0] * len(played)
    assert endings(played[0].names[0]) == {index: [("SUCCEEDED", 0)] for index in range(8)}
    totals = (copy / "samples/02-shard-a-file/out/totals.csv").read_bytes()
    assert totals == (HERE / "expected.csv").read_bytes()


def test_the_known_answer_is_that_of_the_file_read_in_one_go() -> None:
    with (HERE / "orders.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == 100_000
    cents: dict[str, int] = {}
    for _, _, country, amount in rows:
        cents[country] = cents.get(country, 0) + round(float(amount) * 100)
    with (HERE / "expected.csv").open(newline="", encoding="utf-8") as file:
        expected = {row["country"]: row["amount"] for row in csv.DictReader(file)}
    assert {name: f"{sum_ / 100:.2f}" for name, sum_ in cents.items()} == expected


def test_the_orders_are_what_their_script_makes(tmp_path: Path) -> None:
    script = tmp_path / "make_orders.py"
    script.write_bytes((HERE / "make_orders.py").read_bytes())
    subprocess.run([sys.executable, str(script)], check=True)
    for name in ("orders.csv", "expected.csv"):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


@given(
    st.lists(st.text('aé,"', min_size=0, max_size=6), max_size=12),
    st.integers(1, 40),
    st.booleans(),
)
def test_each_line_belongs_to_exactly_one_share(
    body: list[str], count: int, ends_with_newline: bool
) -> None:
    content = "\n".join(["header", *body]) + ("\n" if ends_with_newline else "")
    data = content.encode()
    taken: list[str] = []
    for index in range(count):
        start, end = shard.share(len(data), index, count)
        taken += shard.lines(io.BytesIO(data), start, end)
    assert taken == content.splitlines(keepends=True)[1:]


def test_a_missing_part_is_refused(copy: Path) -> None:
    folder = copy / "samples" / "02-shard-a-file"
    for index in (0, 2):
        env = {"CLOUD_RUN_TASK_INDEX": str(index), "CLOUD_RUN_TASK_COUNT": "3"}
        subprocess.run(
            [sys.executable, "shard.py"], cwd=folder, env=env, check=True, capture_output=True
        )
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run(
            [sys.executable, "join.py"], cwd=folder, check=True, capture_output=True, text=True
        )
    assert caught.value.stderr == "parts are missing: [1]\n"
