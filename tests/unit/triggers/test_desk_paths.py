"""Paths of our own API, written and read by the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import UsageError
from triggers.cli.desk import API, names_in, path_to


@given(st.text(min_size=1))
def test_any_name_is_read_back_from_its_path(name: str) -> None:
    template = f"{API}/queues/{{queue}}:pause"
    path = path_to("queues", name)
    assert names_in(template, f"{path}:pause") == {"queue": name}
    assert names_in(template, path) is None
    assert names_in(f"{API}/queues", path) is None


def test_a_path_within_one_has_both_names() -> None:
    path = path_to("queues", "a", "tasks", "b/c")
    assert names_in(f"{API}/queues/{{queue}}/tasks/{{task}}", path) == {"queue": "a", "task": "b/c"}


def test_an_empty_name_is_none() -> None:
    with pytest.raises(UsageError):
        path_to("queues", "")
