"""The value that jobrunner finds through the entry-point group ``jobrunner.plugins``."""

from jobrunner.plugins import Plugin

plugin = Plugin(
    name="triggers",
    routes=(
        "triggers.api.keys:methods",
        "triggers.app:delivery_routes",
        "triggers.app:schedule_routes",
        "triggers.app:subscription_routes",
        "triggers.app:queue_routes",
        "triggers.app:task_routes",
        "triggers.app:event_routes",
        "triggers.app:bucket_routes",
        "triggers.app:eventarc_routes",
    ),
    loops=(
        "triggers.app:dispatch",
        "triggers.app:carry",
        "triggers.app:pull",
        "triggers.app:tick",
        "triggers.app:tell",
        "triggers.app:watch",
        "triggers.app:report",
    ),
    rpcs=(
        "triggers.api.scheduler.rpcs:RPCS",
        "triggers.api.tasks.rpcs:RPCS",
        "triggers.api.eventarc.rpcs:RPCS",
        "triggers.api.eventarc.publishing_rpcs:RPCS",
    ),
    neighbours=("triggers.app:emulator",),
)
