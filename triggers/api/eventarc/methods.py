"""The Eventarc API and its publishing as a table of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.calls import Call, Handler, Method, Role
from jobrunner.errors import NotFound
from jobrunner.service.parts import Parts
from triggers.api.eventarc.channels import ChannelMethods
from triggers.api.eventarc.frame import Frame
from triggers.api.eventarc.names import POLICIES, PUBLISHER, SERVICE
from triggers.api.eventarc.providers import ProviderMethods
from triggers.api.eventarc.triggers import TriggerMethods
from triggers.api.policies import PolicyMethods
from triggers.service.channels import Channels
from triggers.service.event_triggers import EventTriggers
from triggers.service.events import Events
from triggers.service.policies import Policies
from triggers.service.transports import Transports

LOCATION = "/v1/projects/{project}/locations/{location}"
TRIGGERS = f"{LOCATION}/triggers"
TRIGGER = f"{TRIGGERS}/{{trigger}}"
CHANNELS = f"{LOCATION}/channels"
CHANNEL = f"{CHANNELS}/{{channel}}"
PROVIDERS = f"{LOCATION}/providers"
PROVIDER = f"{PROVIDERS}/{{provider}}"
RESOURCE = f"{LOCATION}/{{collection}}/{{resource}}"
"""Over gRPC the policies of everything are asked for by one method."""

LIST = ("pageSize", "pageToken", "orderBy")

PERMISSIONS = {
    **{
        f"eventarc.{kind}.{verb}": Role.VIEWER
        for kind in ("triggers", "channels")
        for verb in ("get", "list", "getIamPolicy")
    },
    **{f"eventarc.providers.{verb}": Role.VIEWER for verb in ("get", "list")},
    **{
        f"eventarc.{kind}.{verb}": Role.ADMIN
        for kind in ("triggers", "channels")
        for verb in ("create", "update", "delete", "setIamPolicy")
    },
    "eventarc.channels.publish": Role.INVOKER,
}
"""What each role holds."""


def eventarc_methods(
    triggers: EventTriggers,
    channels: Channels,
    events: Events,
    transports: Transports,
    policies: Policies,
    parts: Parts,
    changed: Callable[[], None],
) -> Sequence[Method]:
    """``changed`` tells the dispatcher that there is something new."""
    frame = Frame(parts, changed)
    trigger = TriggerMethods(frame, triggers, channels, transports)
    channel = ChannelMethods(frame, channels, events)
    provider = ProviderMethods(frame)

    def owner(call: Call) -> tuple[str, str]:
        scope, name = frame.scope(call), call.params["resource"]
        match call.params["collection"]:
            case "triggers":
                return triggers.get(scope, name).uid, name
            case "channels":
                return channels.get(scope, name).uid, name
            case other:
                raise NotFound(f"There is nothing with a policy at '{other}'.")

    policy = PolicyMethods(policies, parts.commit, owner, PERMISSIONS)
    return [
        _method("triggers.list", "ListTriggers", "GET", TRIGGERS, trigger.list,
                "Lists event triggers", query=(*LIST, "filter")),
        _method("triggers.create", "CreateTrigger", "POST", TRIGGERS, trigger.create,
                "Creates an event trigger", query=("triggerId", "validateOnly"),
                about=_made("triggers", "triggerId")),
        _method("triggers.get", "GetTrigger", "GET", TRIGGER, trigger.get,
                "Shows an event trigger", query=()),
        _method("triggers.update", "UpdateTrigger", "PATCH", TRIGGER, trigger.patch,
                "Changes an event trigger",
                query=("updateMask", "allowMissing", "validateOnly")),
        _method("triggers.delete", "DeleteTrigger", "DELETE", TRIGGER, trigger.delete,
                "Removes an event trigger", query=("etag", "allowMissing", "validateOnly")),
        _method("channels.list", "ListChannels", "GET", CHANNELS, channel.list,
                "Lists channels", query=LIST),
        _method("channels.create", "CreateChannel", "POST", CHANNELS, channel.create,
                "Creates a channel", query=("channelId", "validateOnly"),
                about=_made("channels", "channelId")),
        _method("channels.get", "GetChannel", "GET", CHANNEL, channel.get, "Shows a channel",
                query=()),
        _method("channels.update", "UpdateChannel", "PATCH", CHANNEL, channel.patch,
                "Changes a channel", query=("updateMask", "validateOnly")),
        _method("channels.delete", "DeleteChannel", "DELETE", CHANNEL, channel.delete,
                "Removes a channel", query=("validateOnly",)),
        _method("channels.publish", "PublishEvents", "POST", f"{CHANNEL}:publishEvents",
                channel.publish, "Publishes events to a channel", service=PUBLISHER),
        _method("providers.list", "ListProviders", "GET", PROVIDERS, provider.list,
                "Lists where events come from", query=LIST),
        _method("providers.get", "GetProvider", "GET", PROVIDER, provider.get,
                "Shows where events come from", query=()),
        _method("triggers.getIamPolicy", "GetIamPolicy", "GET", f"{RESOURCE}:getIamPolicy",
                policy.get, "Shows the policy of an event trigger or a channel",
                query=("options.requestedPolicyVersion",), service=POLICIES),
        _method("triggers.setIamPolicy", "SetIamPolicy", "POST", f"{RESOURCE}:setIamPolicy",
                policy.put, "Replaces the policy of an event trigger or a channel",
                service=POLICIES),
        _method("triggers.get", "TestIamPermissions", "POST", f"{RESOURCE}:testIamPermissions",
                policy.test, "Tries the policy of an event trigger or a channel",
                service=POLICIES),
    ]  # fmt: skip


def _method(
    name: str,
    rpc: str,
    verb: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    service: str = SERVICE,
    query: tuple[str, ...] = (),
    about: Callable[[Call], str] | None = None,
) -> Method:
    full = f"eventarc.{name}"
    role = PERMISSIONS[full]
    return Method(
        full,
        verb,
        path,
        handler,
        role,
        changes=role is Role.ADMIN,
        grpc=f"{service}/{rpc}",
        summary=summary,
        query=query,
        about=about,
    )


def _made(collection: str, id: str) -> Callable[[Call], str]:
    def about(call: Call) -> str:
        place = f"/v1/projects/{call.params['project']}/locations/{call.params['location']}"
        given = call.params.get(id, "")
        return f"{place}/{collection}/{given}" if given else ""

    return about
