from jobrunner.backends._docker.pull import Tally


def test_progress_counts_layers_and_bytes() -> None:
    tally = Tally("app:1")
    for event in (
        {"status": "Pulling from app", "id": "1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "b"},
        {"status": "Already exists", "progressDetail": {}, "id": "c"},
        {
            "status": "Downloading",
            "progressDetail": {"current": 500_000, "total": 2_000_000},
            "id": "a",
        },
    ):
        tally.take(event)
    assert tally.line() == "Pulling app:1: 1 of 3 layers, 0.5 of 2.0 MB"
    tally.take({"status": "Download complete", "progressDetail": {}, "id": "a"})
    tally.take({"status": "Pull complete", "progressDetail": {}, "id": "a"})
    assert tally.line() == "Pulling app:1: 2 of 3 layers, 2.0 of 2.0 MB"


def test_what_was_pulled_is_not_undone_by_a_late_event() -> None:
    tally = Tally("app:1")
    tally.take({"status": "Pull complete", "id": "a"})
    tally.take({"status": "Extracting", "id": "a", "progressDetail": {"current": 1}})
    assert tally.line() == "Pulling app:1: 1 of 1 layers"


def test_before_anything_is_known_nothing_is_claimed() -> None:
    assert Tally("app:1").line() == "Pulling app:1: 0 of 0 layers"
