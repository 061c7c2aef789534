"""A refusal on the command line names the flag that was typed, and the field of the API."""

import click
import pytest

from jobrunner.errors import InvalidSpec, Violation
from triggers.cli.naming import DELIVERY, ITEM, SCHEDULE, flags_named
from triggers.cli.queues import queues
from triggers.cli.schedules import schedules


@pytest.mark.parametrize(
    ("flags", "field", "named"),
    [
        (SCHEDULE, "retryConfig.retryCount", "--max-retry-attempts (retryConfig.retryCount)"),
        (SCHEDULE, "httpTarget.headers[a.b c]", "--headers (httpTarget.headers[a.b c])"),
        (SCHEDULE, "pubsubTarget.topicName", "--topic (pubsubTarget.topicName)"),
        (SCHEDULE, "schedule", "schedule"),
        (SCHEDULE, "", ""),
        (ITEM, "task.jobTarget.env[0].name", "--update-env-vars (task.jobTarget.env[0].name)"),
        (DELIVERY, "httpTarget.uri", "URL (httpTarget.uri)"),
    ],
)
def test_a_field_that_a_flag_sets_is_named_with_it(
    flags: dict[str, str], field: str, named: str
) -> None:
    with pytest.raises(InvalidSpec) as caught, flags_named(flags):
        raise InvalidSpec([Violation(field, "no"), Violation("other", "no")], hint="h")
    assert [one.field for one in caught.value.violations] == [named, "other"]
    assert caught.value.hint == "h"


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), flags_named(SCHEDULE):
        raise KeyError


@pytest.mark.parametrize("room", [queues, schedules])
def test_the_help_of_an_update_tells_of_no_defaults_as_nothing_is_set_to_them(
    room: click.Group,
) -> None:
    create = room.commands["create"]
    made = create.commands["http"] if isinstance(create, click.Group) else create

    def told(command: click.Command) -> str:
        helps = [one.help or "" for one in command.params if isinstance(one, click.Option)]
        return "\n".join(helps)

    assert "[default: 1h]" in told(made)
    assert "[default" not in told(room.commands["update"])
