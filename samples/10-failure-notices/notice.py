"""What an event of jobrunner means, in one line and in a few more."""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Notice:
    """``title`` fits into the subject of a mail; ``text`` says why."""

    title: str
    text: str


def this_notice() -> Notice:
    """Of the event that started this job."""
    return notice_of(json.loads(Path(os.environ["CLOUDEVENT_FILE"]).read_text()))


def notice_of(event: dict) -> Notice:
    data = event["data"]
    match event["type"]:
        case "dev.jobrunner.execution.v1.failed":
            return Notice(f"{data['job']} failed", f"{data['execution']}: {data['message']}")
        case "dev.jobrunner.schedule.v1.missed":
            when = f"{data['scheduledTime']}: {data['reason']}"
            return Notice(f"{data['schedule']} missed a run", when)
        case "dev.jobrunner.delivery.v1.dead" | "dev.jobrunner.delivery.v1.expired":
            again = f"Send it again with: jobrunner deliveries replay {data['delivery']}"
            return Notice(f"{data['target']} was given up", f"{data['reason']}\n{again}")
        case other:
            return Notice(other, json.dumps(data))
