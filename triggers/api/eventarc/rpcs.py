"""The gRPC methods of the Eventarc API; the messages are those of google-cloud-eventarc."""

from __future__ import annotations

from google.cloud.eventarc_v1 import types as eventarc
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2

from jobrunner.calls import Rpc
from triggers.api.eventarc.names import POLICIES, SERVICE

_operation = operations_pb2.Operation
_JOB = "destination.cloudRun.job"
_jobs = "job" in eventarc.CloudRun.pb().DESCRIPTOR.fields_by_name
"""Whether the package knows of jobs as destinations. What does not is not told of them."""


def _beyond(*paths: str) -> tuple[str, ...]:
    return () if _jobs else paths


RPCS: dict[str, Rpc] = {
    f"{SERVICE}/ListTriggers": Rpc(
        eventarc.ListTriggersRequest.pb(),
        eventarc.ListTriggersResponse.pb(),
        "parent",
        without=_beyond(f"triggers.{_JOB}"),
    ),
    f"{SERVICE}/GetTrigger": Rpc(
        eventarc.GetTriggerRequest.pb(), eventarc.Trigger.pb(), "name", without=_beyond(_JOB)
    ),
    f"{SERVICE}/CreateTrigger": Rpc(
        eventarc.CreateTriggerRequest.pb(), _operation, "parent", "trigger"
    ),
    f"{SERVICE}/UpdateTrigger": Rpc(
        eventarc.UpdateTriggerRequest.pb(), _operation, "trigger.name", "trigger"
    ),
    f"{SERVICE}/DeleteTrigger": Rpc(eventarc.DeleteTriggerRequest.pb(), _operation, "name"),
    f"{SERVICE}/ListChannels": Rpc(
        eventarc.ListChannelsRequest.pb(), eventarc.ListChannelsResponse.pb(), "parent"
    ),
    f"{SERVICE}/GetChannel": Rpc(eventarc.GetChannelRequest.pb(), eventarc.Channel.pb(), "name"),
    f"{SERVICE}/CreateChannel": Rpc(
        eventarc.CreateChannelRequest.pb(), _operation, "parent", "channel"
    ),
    f"{SERVICE}/UpdateChannel": Rpc(
        eventarc.UpdateChannelRequest.pb(), _operation, "channel.name", "channel"
    ),
    f"{SERVICE}/DeleteChannel": Rpc(eventarc.DeleteChannelRequest.pb(), _operation, "name"),
    f"{SERVICE}/ListProviders": Rpc(
        eventarc.ListProvidersRequest.pb(), eventarc.ListProvidersResponse.pb(), "parent"
    ),
    f"{SERVICE}/GetProvider": Rpc(eventarc.GetProviderRequest.pb(), eventarc.Provider.pb(), "name"),
    f"{POLICIES}/GetIamPolicy": Rpc(
        iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy, "resource"
    ),
    f"{POLICIES}/SetIamPolicy": Rpc(
        iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy, "resource", "*"
    ),
    f"{POLICIES}/TestIamPermissions": Rpc(
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
        "resource",
        "*",
    ),
}
