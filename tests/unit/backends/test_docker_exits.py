from typing import Any

import pytest

from jobrunner.backends._docker.exits import machine_booted_at, read_sighting, split_code
from jobrunner.core.records import ExitStatus
from jobrunner.core.states import StopReason
from jobrunner.ports import Running, Vanished


def container(status: str = "exited", *, init: bool = False, **state: Any) -> dict[str, Any]:
    return {
        "State": {
            "Status": status,
            "Running": status == "running",
            "ExitCode": 0,
            "StartedAt": "1970-01-01T00:01:40Z",
            "FinishedAt": "1970-01-01T00:01:50Z",
            **state,
        },
        "HostConfig": {"Init": init},
    }


def test_an_exit_has_its_code_and_its_times() -> None:
    assert read_sighting(container(ExitCode=3)) == ExitStatus(
        code=3, started_at=100.0, ended_at=110.0
    )


def test_what_runs_is_running_since_its_start() -> None:
    assert read_sighting(container("running")) == Running(100.0)


def test_what_was_created_may_still_start() -> None:
    created = container("created", StartedAt="0001-01-01T00:00:00Z")
    assert read_sighting(created) == Running(None)


def test_a_container_that_is_being_removed_can_say_nothing() -> None:
    assert isinstance(read_sighting(container("removing")), Vanished)
    assert isinstance(read_sighting(container("exited", Dead=True)), Vanished)


def test_running_out_of_memory_is_told_apart_from_a_plain_kill() -> None:
    plain = read_sighting(container(ExitCode=137))
    oom = read_sighting(container(ExitCode=137, OOMKilled=True))
    assert isinstance(plain, ExitStatus)
    assert isinstance(oom, ExitStatus)
    assert (plain.signal, plain.oom, plain.code) == (9, False, None)
    assert (oom.signal, oom.oom, oom.code) == (9, True, None)


def test_success_after_running_out_of_memory_is_none() -> None:
    status = read_sighting(container(OOMKilled=True))
    assert isinstance(status, ExitStatus)
    assert not status.ok


@pytest.mark.parametrize(
    ("code", "init", "expected"),
    [
        (0, False, (0, None)),
        (1, False, (1, None)),
        (128, False, (128, None)),
        (137, False, (None, 9)),
        (139, False, (None, 11)),
        (136, False, (None, 8)),
        (143, False, (143, None)),
        (134, False, (134, None)),
        (130, False, (130, None)),
        (255, False, (255, None)),
        (143, True, (None, 15)),
        (134, True, (None, 6)),
        (140, True, (140, None)),
    ],
)
def test_a_code_is_a_signal_only_where_that_signal_can_end_the_first_process(
    code: int, init: bool, expected: tuple[int | None, int | None]
) -> None:
    assert split_code(code, init=init) == expected


def test_an_end_that_a_boot_made_up_is_no_end() -> None:
    spans = read_sighting(container(ExitCode=255), booted_at=106.0)
    assert isinstance(spans, Vanished)
    assert "started anew" in spans.detail


@pytest.mark.parametrize("booted_at", [50.0, 200.0])
def test_an_end_wholly_before_or_after_the_boot_is_believed(booted_at: float) -> None:
    assert isinstance(read_sighting(container(ExitCode=255), booted_at=booted_at), ExitStatus)


@pytest.mark.parametrize("code", [0, 1, 137, 143])
def test_an_end_while_the_engine_was_away_is_not_believed(code: int) -> None:
    sighting = read_sighting(container(ExitCode=code), away_since=105.0)
    assert isinstance(sighting, Vanished)
    assert f"code {code}" in sighting.detail


def test_an_end_before_the_engine_went_away_is_believed() -> None:
    assert isinstance(read_sighting(container(), away_since=111.0), ExitStatus)


@pytest.mark.parametrize(("timeout", "reached"), [(9.0, True), (10.0, True), (10.5, False)])
def test_what_lived_as_long_as_its_timeout_has_reached_it(timeout: float, reached: bool) -> None:
    status = read_sighting(container(ExitCode=0), timeout=timeout)
    assert isinstance(status, ExitStatus)
    assert (status.stopped is StopReason.TIMEOUT) == reached


def test_this_machine_was_booted_some_time_ago() -> None:
    booted_at = machine_booted_at()
    assert booted_at is not None
    assert booted_at > 1_500_000_000
