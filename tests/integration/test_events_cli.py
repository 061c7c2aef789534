"""Event triggers, events and services from the command line: alone, and through a server."""

import json
from pathlib import Path

from tests.support.commands import document, jobrunner, line_of, started

MADE = "com.example.order.made"
YAML = f"""\
apiVersion: jobrunner.dev/v1
kind: Services
spec: {{shop: "http://127.0.0.1:9/"}}
---
apiVersion: jobrunner.dev/v1
kind: EventTrigger
metadata: {{name: orders}}
spec:
  eventFilters:
  - {{attribute: type, value: {MADE}}}
  - {{attribute: subject, value: "orders/*", operator: match-path-pattern}}
  channel: shop
  destination: {{cloudRun: {{service: shop, path: /e}}}}
"""


def create(*words: str) -> None:
    filters = ("--event-filters", f"type={MADE}")
    run = jobrunner("triggers", "create", "orders", *filters, *words)
    assert run.returncode == 0, run.stderr


def test_a_trigger_is_made_changed_shown_and_deleted(way: str) -> None:
    create(
        "--destination-run-job", "report", "--args", "{{ event.id }}", "--acknowledge", "success"
    )
    shown = document("triggers", "describe", "orders")
    assert shown["destination"]["cloudRun"]["args"] == ["{{ event.id }}"]
    assert shown["conditions"]["destination"]["code"] == "NOT_FOUND"
    changed = jobrunner("triggers", "update", "orders", "--destination-topic", "t-1")
    assert changed.returncode == 0, changed.stderr
    assert document("triggers", "describe", "orders")["destination"] == {
        "topic": "projects/local/topics/t-1"
    }
    listed = jobrunner("triggers", "list").stdout
    assert "topic projects/local/topics/t-1" in listed
    assert jobrunner("triggers", "delete", "orders", "--quiet").returncode == 0
    missing = jobrunner("triggers", "describe", "order")
    assert (missing.returncode, missing.stdout) == (3, "")


def test_services_are_set_listed_and_removed(way: str) -> None:
    assert jobrunner("services", "set", "shop", "http://127.0.0.1:9").returncode == 0
    assert jobrunner("services", "set", "shop", "http://127.0.0.1:10").returncode == 0
    assert [one["url"] for one in document("services", "list")] == ["http://127.0.0.1:10"]
    assert jobrunner("services", "set", "shop", "ftp://x").returncode == 2
    assert jobrunner("services", "remove", "shop").returncode == 0
    assert jobrunner("services", "remove", "shop").returncode == 3


def test_yaml_is_applied_and_applied_again_changes_nothing(way: str, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(YAML)
    words = []
    for more in (["--dry-run"], [], []):
        run = jobrunner("apply", "-f", str(file), *more)
        assert run.returncode == 0, run.stderr
        words.append([line.split()[2] for line in run.stdout.splitlines() if "' " in line[:20]])
    assert words[1:] == [["created.", "created."], ["unchanged.", "unchanged."]]
    file.write_text(YAML.replace("type, value", "kind, value"))
    broken = jobrunner("apply", "-f", str(file))
    assert broken.returncode == 2
    assert "eventFilters" in broken.stderr
    assert "type" in broken.stderr


def test_what_is_sent_is_seen_with_where_it_went(way: str, tmp_path: Path) -> None:
    create("--destination-topic", "t-1")
    several = tmp_path / "events.json"
    event = {"specversion": "1.0", "source": "//x", "type": MADE}
    several.write_text("\n".join(json.dumps({**event, "id": f"f{n}"}) for n in range(2)))
    assert jobrunner("events", "send", "--file", str(several)).returncode == 0
    sent = jobrunner("events", "send", "--type", MADE, "--id", "s1", "--data", '{"n": 1}')
    assert sent.returncode == 0, sent.stderr
    assert "id=s1  -> orders (delivery " in sent.stdout
    lines = jobrunner("events", "tail", "--no-follow", "--format", "json").stdout.splitlines()
    assert [json.loads(line)["event"]["id"] for line in lines] == ["f0", "f1", "s1"]
    assert document("events", "describe", "3")["event"]["data"] == {"n": 1}
    with started("events", "tail", "--limit", "1") as tail:
        assert "id=s1" in line_of(tail)
        jobrunner("events", "send", "--type", "com.example.other", "--id", "late")
        assert line_of(tail).endswith("id=late  -> nobody")


def test_one_broken_event_of_a_file_keeps_all_out(way: str, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    good = {"specversion": "1.0", "source": "//x", "type": MADE, "id": "1"}
    file.write_text(json.dumps([good, {**good, "source": ""}]))
    sent = jobrunner("events", "send", "--file", str(file))
    assert sent.returncode == 2
    assert "events[1].source" in sent.stderr
    assert jobrunner("events", "tail", "--no-follow").stdout == ""


def test_a_rehearsal_names_who_says_no_and_ends_with_one(way: str) -> None:
    create("--destination-topic", "t-1", "--expression", "EXISTS tenant")
    no = jobrunner("triggers", "test", "orders", "--type", MADE)
    assert no.returncode == 1
    assert "would not get it" in no.stdout
    assert f"yes  type is '{MADE}'" in no.stdout
    assert "no   " in no.stdout
    yes = jobrunner("triggers", "test", "orders", "--type", MADE, "--attributes", "tenant=a")
    assert yes.returncode == 0, yes.stdout
    assert jobrunner("events", "tail", "--no-follow").stdout == ""


def test_an_attribute_that_is_given_empty_is_not_made_up(way: str) -> None:
    for option, name in (("--source", "source"), ("--id", "id")):
        run = jobrunner("events", "send", "--type", MADE, option, "")
        assert (run.returncode, run.stderr) == (2, f"Error: events[0].{name}: it is empty\n")
