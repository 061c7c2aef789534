"""The options that say what an event is, and those that make and change event triggers, named as
gcloud's where it has them."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from jobrunner.cli import values
from jobrunner.cli.base import UsageProblem
from jobrunner.cli.params import DURATION, whole
from triggers.cli.schedules_flags import JOB

Document = dict[str, Any]

EVENT = (
    click.option("--type", "event_type", metavar="TEXT", help="What has happened."),
    click.option("--source", metavar="URI", help="Where  [default: //jobrunner.dev/cli]."),
    click.option("--id", "event_id", metavar="TEXT", help="[default: one that nobody has]"),
    click.option("--subject", metavar="TEXT", help="What it is about, at the source."),
    click.option("--time", "event_time", metavar="INSTANT", help="[default: now]"),
    click.option("--attributes", multiple=True, metavar="K=V,...", help="Further attributes."),
    click.option("--data", metavar="TEXT", help="JSON, unless --content-type says otherwise."),
    click.option("--data-from-file", metavar="FILE", help="The same from a file."),
    click.option("--content-type", metavar="TYPE", help="Of the data  [default: JSON]."),
    click.option(
        "--file", "-f", "file", metavar="FILE",
        help="Whole events as JSON: one, a list, or one on each line; - for standard input.",
    ),
    click.option("--channel", metavar="CHANNEL", help="By which it comes  [default: none]."),
)  # fmt: skip
FILTERS = (
    click.option(
        "--event-filters", multiple=True, metavar="K=V,...", help="All must agree; type is needed."
    ),
    click.option(
        "--event-filters-path-pattern", multiple=True, metavar="K=PATTERN,...",
        help="The same by path patterns: *, **, {name}.",
    ),
    click.option("--expression", metavar="SQL", help="A condition in CloudEvents SQL."),
    click.option("--channel", metavar="CHANNEL", help="Events of this channel only."),
    click.option("--transport-topic", metavar="TOPIC", help="Messages of this topic only."),
)  # fmt: skip
DESTINATION = (
    click.option(
        "--destination-run-service", "run_service", metavar="SERVICE", help="A name, or a URL."
    ),
    click.option("--destination-run-path", "run_path", metavar="PATH", help="Of the service."),
    click.option(
        "--destination-run-region", "run_region", metavar="NAME", help="Of service or job."
    ),
    click.option("--destination-run-job", "run_job", metavar="JOB", help="What is executed."),
    click.option(
        "--destination-http-endpoint-uri", "run_uri", metavar="URL", help="What is called."
    ),
    click.option("--destination-topic", "run_topic", metavar="TOPIC", help="What is published to."),
    *JOB[1:],
)
POLICY = (
    click.option("--service-account", metavar="EMAIL", help="Who the ID token of calls is for."),
    click.option(
        "--max-retry-attempts", type=whole(1, 1), metavar="1", help="1: none but the first."
    ),
    click.option("--min-retry-delay", type=DURATION, metavar="DURATION", help="[default: 10s]"),
    click.option("--max-retry-delay", type=DURATION, metavar="DURATION", help="[default: 10m]"),
    click.option(
        "--message-retention-duration", "lifetime", type=DURATION, metavar="DURATION",
        help="How long it is tried  [default: 24h].",
    ),
    click.option("--dead-letter-topic", metavar="TOPIC", help="Where given-up events go."),
    click.option(
        "--max-delivery-attempts", type=whole(5, 100), metavar="N", help="Until then [default: 5]."
    ),
    click.option("--call-deadline", type=DURATION, metavar="DURATION", help="[default: 10m]"),
    click.option("--backlog", type=whole(1), metavar="N", help="May wait  [default: 10000]."),
    click.option("--labels", multiple=True, metavar="K=V,...", help="For people and lists."),
)  # fmt: skip


# ---------------------------------------------------------------- events


def events_of(flags: Document) -> list[Document]:
    """The events that the flags of EVENT say, in the JSON format."""
    single = [name for name in _SINGLE if flags[name]]
    if flags["file"]:
        if single:
            option = _SINGLE[single[0]]
            raise UsageProblem(f"{option} and --file exclude each other.")
        return _of_file(flags["file"])
    if not flags["event_type"]:
        raise UsageProblem("Say what has happened: --type, or whole events with --file.")
    return [_of_flags(flags)]


_SINGLE = {
    "event_type": "--type", "source": "--source", "event_id": "--id", "subject": "--subject",
    "event_time": "--time", "attributes": "--attributes", "data": "--data",
    "data_from_file": "--data-from-file", "content_type": "--content-type",
}  # fmt: skip


def _of_flags(flags: Document) -> Document:
    import time
    import uuid

    from jobrunner.core.timestamps import format_time

    event: Document = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()) if flags["event_id"] is None else flags["event_id"],
        "source": "//jobrunner.dev/cli" if flags["source"] is None else flags["source"],
        "type": flags["event_type"],
        "time": flags["event_time"] or format_time(time.time()),
    }
    if flags["subject"]:
        event["subject"] = flags["subject"]
    for name, value in _pairs("--attributes", flags["attributes"]).items():
        if name in event or name in ("data", "data_base64", "datacontenttype"):
            raise UsageProblem(f"--attributes: '{name}' has an option of its own.")
        event[name] = value
    return {**event, **_data(flags)}


def _data(flags: Document) -> Document:
    import base64

    if flags["data"] is not None and flags["data_from_file"]:
        raise UsageProblem("--data and --data-from-file exclude each other.")
    if flags["data_from_file"]:
        raw = _read(flags["data_from_file"], "--data-from-file")
    elif flags["data"] is not None:
        raw = flags["data"].encode("utf-8", "surrogateescape")
    else:
        return {"datacontenttype": flags["content_type"]} if flags["content_type"] else {}
    kind = flags["content_type"] or "application/json"
    if kind.split(";")[0].strip().endswith(("/json", "+json")):
        try:
            return {"datacontenttype": kind, "data": json.loads(raw)}
        except ValueError as error:
            raise UsageProblem(
                f"The data is not JSON: {error}.", hint="For other data say --content-type."
            ) from None
    return {"datacontenttype": kind, "data_base64": base64.b64encode(raw).decode()}


def _of_file(path: str) -> list[Document]:
    raw = _read(path, "--file")
    try:
        text = raw.decode()
        try:
            found = json.loads(text)
        except ValueError:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise UsageProblem(f"--file: '{path}' holds no events in JSON: {error}.") from None
    events = found if isinstance(found, list) else [found]
    if not events:
        raise UsageProblem(f"--file: '{path}' holds no event.")
    return events


def _read(path: str, option: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageProblem(f"{option}: '{path}' cannot be read: {error.strerror}.") from None


# ---------------------------------------------------------------- triggers


def merged(old: Document, flags: Document, project: str) -> Document:
    """The settings of a trigger with what the flags change. A short name of a topic is one of
    ``project``."""
    from jobrunner.core.durations import duration

    spec = dict(old)
    exact = _pairs("--event-filters", flags["event_filters"])
    patterns = _pairs("--event-filters-path-pattern", flags["event_filters_path_pattern"])
    if exact or patterns:
        spec["eventFilters"] = [
            *({"attribute": name, "value": value} for name, value in exact.items()),
            *(
                {"attribute": name, "value": value, "operator": "match-path-pattern"}
                for name, value in patterns.items()
            ),
        ]
    for flag, key in (
        ("expression", "expression"),
        ("channel", "channel"),
        ("service_account", "serviceAccount"),
        ("backlog", "backlog"),
    ):
        if flags[flag] is not None:
            spec[key] = flags[flag]
    retry = dict(spec.get("retryPolicy") or {})
    for flag, key in (
        ("min_retry_delay", "minBackoff"),
        ("max_retry_delay", "maxBackoff"),
        ("lifetime", "lifetime"),
    ):
        if flags[flag] is not None:
            retry[key] = duration(flags[flag])
    if flags["max_retry_attempts"] is not None:
        retry["maxAttempts"] = flags["max_retry_attempts"]
    spec["retryPolicy"] = retry
    letters = dict(spec.get("deadLetterPolicy") or {})
    if flags["dead_letter_topic"] is not None:
        topic = flags["dead_letter_topic"]
        letters = {**letters, "deadLetterTopic": _topic(topic, project)} if topic else {}
    if flags["max_delivery_attempts"] is not None:
        if not letters:
            raise UsageProblem("--max-delivery-attempts goes with --dead-letter-topic only.")
        letters["maxDeliveryAttempts"] = flags["max_delivery_attempts"]
    spec["deadLetterPolicy"] = letters or None
    if flags["transport_topic"] is not None:
        topic = flags["transport_topic"]
        spec["transportTopic"] = _topic(topic, project) if topic else ""
    if flags["call_deadline"] is not None:
        spec["deadline"] = duration(flags["call_deadline"])
    if flags["labels"]:
        spec["labels"] = {**(spec.get("labels") or {}), **_pairs("--labels", flags["labels"])}
    destination = _destination(old.get("destination"), flags, project)
    if destination is not None:
        spec["destination"] = destination
    return spec


def _destination(old: Document | None, flags: Document, project: str) -> Document | None:
    kinds = {
        "run_service": "--destination-run-service",
        "run_job": "--destination-run-job",
        "run_uri": "--destination-http-endpoint-uri",
        "run_topic": "--destination-topic",
    }
    given = [name for name in kinds if flags[name] is not None]
    if len(given) > 1:
        raise UsageProblem(f"{kinds[given[0]]} and {kinds[given[1]]} exclude each other.")
    run = dict((old or {}).get("cloudRun") or {})
    job = flags["run_job"] is not None or (not given and "job" in run)
    _only_with(flags, _JOB, job, kinds["run_job"])
    service = flags["run_service"] is not None or (not given and "service" in run)
    _only_with(flags, {"run_path": "--destination-run-path"}, service, kinds["run_service"])
    region = {"run_region": "--destination-run-region"}
    _only_with(flags, region, service or job, f"{kinds['run_service']} or {kinds['run_job']}")
    if flags["run_uri"] is not None:
        return {"httpEndpoint": {"uri": flags["run_uri"]}}
    if flags["run_topic"] is not None:
        return {"topic": _topic(flags["run_topic"], project)}
    if service:
        kept = run if "service" in run else {}
        changes = {
            key: flags[flag]
            for flag, key in (("run_service", "service"), ("run_path", "path"))
            if flags[flag] is not None
        }
        return {"cloudRun": {**kept, **changes, **_region(flags)}}
    if job:
        kept = run if "job" in run else {}
        name = {} if flags["run_job"] is None else {"job": flags["run_job"]}
        return {"cloudRun": {**kept, **name, **_job(kept, flags), **_region(flags)}}
    return None


_JOB = {
    "args": "--args", "update_env_vars": "--update-env-vars", "tasks": "--tasks",
    "task_timeout": "--task-timeout", "acknowledge": "--acknowledge",
}  # fmt: skip


def _job(old: Document, flags: Document) -> Document:
    found: Document = {}
    if flags["args"]:
        found["args"] = _valued("--args", values.merge_lists, flags["args"])
    if flags["update_env_vars"]:
        env = _pairs("--update-env-vars", flags["update_env_vars"])
        found["env"] = {**(old.get("env") or {}), **env}
    if flags["tasks"] is not None:
        found["tasks"] = flags["tasks"]
    if flags["task_timeout"] is not None:
        found["taskTimeout"] = flags["task_timeout"]
    if flags["acknowledge"]:
        found["acknowledge"] = flags["acknowledge"]
    return found


def _region(flags: Document) -> Document:
    return {} if flags["run_region"] is None else {"region": flags["run_region"]}


def _only_with(flags: Document, group: Document, there: bool, needs: str) -> None:
    for name, option in group.items():
        if not there and flags[name] not in (None, ()):
            raise UsageProblem(f"{option} goes with {needs} only.")


def _topic(name: str, project: str) -> str:
    return name if "/" in name else f"projects/{project}/topics/{name}"


def _pairs(option: str, texts: Any) -> dict[str, str]:
    found: dict[str, str] = _valued(option, values.merge_dicts, texts)
    return found


def _valued(option: str, read: Any, texts: Any) -> Any:
    try:
        return read(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
