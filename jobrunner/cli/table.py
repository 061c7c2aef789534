"""The command table and the front page. Plain data: ``--help`` imports nothing else."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("jobrunner.cli.run:run", "Run a command as many tasks, here and now."),
    "jobs": ("jobrunner.cli.jobs:jobs", "Create, change, export and execute jobs."),
    "executions": (
        "jobrunner.cli.executions:executions",
        "See, follow, cancel, continue and re-run executions.",
    ),
    "tasks": ("jobrunner.cli.tasks:tasks", "See the tasks of an execution and their output."),
    "serve": ("jobrunner.cli.serve:serve", "Serve the API, and drive what it starts."),
    "schedules": (
        "triggers.cli.schedules:schedules",
        "Start jobs and call services by the clock.",
    ),
    "queues": (
        "triggers.cli.queues:queues",
        "Call services and start jobs in turn, as fast as a queue allows.",
    ),
    "subscriptions": (
        "triggers.cli.subscriptions:subscriptions",
        "Call services and start jobs with messages of Pub/Sub.",
    ),
    "triggers": (
        "triggers.cli.event_triggers:triggers",
        "Bring events to services, endpoints, topics and jobs.",
    ),
    "events": ("triggers.cli.events:events", "Send events, and see where they went."),
    "pubsub": (
        "triggers.cli.pubsub:pubsub",
        "Make topics, publish messages, start the Pub/Sub emulator.",
    ),
    "buckets": ("triggers.cli.buckets:buckets", "Let directories stand for buckets."),
    "services": ("triggers.cli.services:services", "Say where services are, by their names."),
    "deliveries": (
        "triggers.cli.deliveries:deliveries",
        "See what was sent where, send by hand, replay dead letters.",
    ),
    "clock": ("jobrunner.cli.clock:clock", "See the clock of the server; move a virtual one."),
    "up": ("jobrunner.cli.up:up", "Serve a pipeline from files, and say what happens."),
    "apply": ("jobrunner.cli.apply:apply", "Create or replace what YAML files describe."),
    "gcloud": ("jobrunner.cli.gcloud:gcloud", "Run the stock gcloud against the server."),
    "doctor": ("jobrunner.cli.doctor:doctor", "Check this machine, and say what is missing."),
    "tokens": (
        "jobrunner.cli.tokens:tokens",
        "Create, list and revoke the tokens of the server.",
    ),
    "audit": ("jobrunner.cli.audit:audit", "See who changed or ran what through the server."),
    "db": ("jobrunner.cli.db:db", "Look after the database: prune, upgrade, info."),
    "completion": (
        "jobrunner.cli.completion:completion",
        "Print the completion script of a shell.",
    ),
}
"""Name → (where its click command is, one line of help), in the order of the front page."""

KINDS: dict[tuple[str, str], str] = {
    ("Schedule", "jobrunner.dev/v1"): "triggers.cli.schedules_apply",
    ("Queue", "jobrunner.dev/v1"): "triggers.cli.queues_apply",
    ("Subscription", "jobrunner.dev/v1"): "triggers.cli.subscriptions_apply",
    ("Services", "jobrunner.dev/v1"): "triggers.cli.services_apply",
    ("Buckets", "jobrunner.dev/v1"): "triggers.cli.buckets_apply",
    ("EventTrigger", "jobrunner.dev/v1"): "triggers.cli.event_triggers_apply",
}
"""Kind and apiVersion of the documents that 'apply' takes beside jobs → the module that reads them:
``plan(where, content)`` gives a checked value with a name, or raises InvalidSpec;
``apply(state, plans, dry_run)`` writes all of them and says so."""

REMOVED_AT: dict[str, str] = {
    "Schedule": "/jobrunner/v1/schedules",
    "Queue": "/jobrunner/v1/queues",
    "Services": "/jobrunner/v1/services",
    "Buckets": "/jobrunner/v1/buckets",
    "EventTrigger": "/jobrunner/v1/event-triggers",
    "Subscription": "/jobrunner/v1/subscriptions",
}
"""Kind → where our API deletes one by its name, for 'up'; a job goes by the service of jobs."""

GLOBAL_OPTIONS: tuple[tuple[str, str], ...] = (
    ("--project NAME", "Project of the names [default: local; JOBRUNNER_PROJECT]."),
    ("--region NAME", "Region of the names [default: us-central1; JOBRUNNER_REGION]."),
    ("--home DIR", "Where state lives [default: the XDG data directory; JOBRUNNER_HOME]."),
    ("-h, --help", "Show help, of the program or of a command."),
    ("--version", "Show the version."),
)

EXAMPLES = (
    "jobrunner run --tasks 10 --parallelism 4 -- ./work.sh",
    "jobrunner jobs create report --workdir . --command ./report.sh --tasks 3",
    "jobrunner jobs execute report",
    "jobrunner executions list",
)

EXIT_CODES = "0 ok, 1 the run failed, 2 usage, 3 not found, 4 refused, 5 fault, 130 interrupted"


def front_page() -> str:
    """What ``jobrunner --help`` prints."""
    options = _columns(GLOBAL_OPTIONS)
    commands = _columns((name, text) for name, (_, text) in COMMANDS.items())
    examples = "".join(f"  {line}\n" for line in EXAMPLES)
    return (
        "Usage: jobrunner [OPTIONS] COMMAND [ARGS]...\n\n"
        "  Runs Cloud Run-style jobs on machines you own.\n\n"
        f"Commands:\n{commands}\n"
        f"Options (also after a command):\n{options}\n"
        f"Examples:\n{examples}\n"
        f"Exit codes: {EXIT_CODES}.\n"
        "Help of a command: jobrunner COMMAND --help\n"
    )


def _columns(rows: "Iterable[tuple[str, str]]") -> str:
    rows = list(rows)
    width = max(len(left) for left, _ in rows)
    return "".join(f"  {left:<{width}}  {right}\n" for left, right in rows)
