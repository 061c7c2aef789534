"""The gRPC methods of the Cloud Tasks API; the messages are those of google-cloud-tasks."""

from __future__ import annotations

from google.cloud.tasks_v2 import types as tasks
from google.cloud.tasks_v2.types import cloudtasks
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from jobrunner.calls import Rpc
from triggers.api.tasks.names import SERVICE

_queue = tasks.Queue.pb()
_task = tasks.Task.pb()
_operation = operations_pb2.Operation

RPCS: dict[str, Rpc] = {
    f"{SERVICE}/ListQueues": Rpc(
        tasks.ListQueuesRequest.pb(), tasks.ListQueuesResponse.pb(), "parent"
    ),
    f"{SERVICE}/GetQueue": Rpc(tasks.GetQueueRequest.pb(), _queue, "name"),
    f"{SERVICE}/CreateQueue": Rpc(tasks.CreateQueueRequest.pb(), _queue, "parent", "queue"),
    f"{SERVICE}/UpdateQueue": Rpc(tasks.UpdateQueueRequest.pb(), _queue, "queue.name", "queue"),
    f"{SERVICE}/DeleteQueue": Rpc(tasks.DeleteQueueRequest.pb(), empty_pb2.Empty, "name"),
    f"{SERVICE}/PauseQueue": Rpc(tasks.PauseQueueRequest.pb(), _queue, "name", "*"),
    f"{SERVICE}/ResumeQueue": Rpc(tasks.ResumeQueueRequest.pb(), _queue, "name", "*"),
    f"{SERVICE}/PurgeQueue": Rpc(tasks.PurgeQueueRequest.pb(), _queue, "name", "*"),
    f"{SERVICE}/GetIamPolicy": Rpc(
        iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy, "resource", "*"
    ),
    f"{SERVICE}/SetIamPolicy": Rpc(
        iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy, "resource", "*"
    ),
    f"{SERVICE}/TestIamPermissions": Rpc(
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
        "resource",
        "*",
    ),
    f"{SERVICE}/ListTasks": Rpc(
        tasks.ListTasksRequest.pb(), tasks.ListTasksResponse.pb(), "parent"
    ),
    f"{SERVICE}/GetTask": Rpc(tasks.GetTaskRequest.pb(), _task, "name"),
    f"{SERVICE}/CreateTask": Rpc(tasks.CreateTaskRequest.pb(), _task, "parent", "*"),
    f"{SERVICE}/DeleteTask": Rpc(tasks.DeleteTaskRequest.pb(), empty_pb2.Empty, "name"),
    f"{SERVICE}/RunTask": Rpc(tasks.RunTaskRequest.pb(), _task, "name", "*"),
}

# Newer than the oldest package that will do.
if hasattr(cloudtasks, "BatchCreateTasksRequest"):
    RPCS |= {
        f"{SERVICE}/BatchCreateTasks": Rpc(
            cloudtasks.BatchCreateTasksRequest.pb(), _operation, "parent", "*"
        ),
        f"{SERVICE}/BatchDeleteTasks": Rpc(
            cloudtasks.BatchDeleteTasksRequest.pb(), _operation, "parent", "*"
        ),
    }
