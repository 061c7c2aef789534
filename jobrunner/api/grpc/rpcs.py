"""The gRPC methods of Cloud Run v2: which messages they take and give, and their HTTP form."""

from __future__ import annotations

from google.cloud.run_v2 import types as run
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2

from jobrunner.calls import Rpc

JOBS = "google.cloud.run.v2.Jobs"
EXECUTIONS = "google.cloud.run.v2.Executions"
TASKS = "google.cloud.run.v2.Tasks"

_operation = operations_pb2.Operation

RPCS: dict[str, Rpc] = {
    f"{JOBS}/CreateJob": Rpc(run.CreateJobRequest.pb(), _operation, "parent", "job"),
    f"{JOBS}/GetJob": Rpc(run.GetJobRequest.pb(), run.Job.pb(), "name"),
    f"{JOBS}/ListJobs": Rpc(run.ListJobsRequest.pb(), run.ListJobsResponse.pb(), "parent"),
    f"{JOBS}/UpdateJob": Rpc(run.UpdateJobRequest.pb(), _operation, "job.name", "job"),
    f"{JOBS}/DeleteJob": Rpc(run.DeleteJobRequest.pb(), _operation, "name"),
    f"{JOBS}/RunJob": Rpc(run.RunJobRequest.pb(), _operation, "name", "*"),
    f"{JOBS}/GetIamPolicy": Rpc(iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy, "resource"),
    f"{JOBS}/SetIamPolicy": Rpc(
        iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy, "resource", "*"
    ),
    f"{JOBS}/TestIamPermissions": Rpc(
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
        "resource",
        "*",
    ),
    f"{EXECUTIONS}/GetExecution": Rpc(run.GetExecutionRequest.pb(), run.Execution.pb(), "name"),
    f"{EXECUTIONS}/ListExecutions": Rpc(
        run.ListExecutionsRequest.pb(), run.ListExecutionsResponse.pb(), "parent"
    ),
    f"{EXECUTIONS}/DeleteExecution": Rpc(run.DeleteExecutionRequest.pb(), _operation, "name"),
    f"{EXECUTIONS}/CancelExecution": Rpc(run.CancelExecutionRequest.pb(), _operation, "name", "*"),
    f"{TASKS}/GetTask": Rpc(run.GetTaskRequest.pb(), run.Task.pb(), "name"),
    f"{TASKS}/ListTasks": Rpc(run.ListTasksRequest.pb(), run.ListTasksResponse.pb(), "parent"),
}
"""By full name, as it stands in ``Method.grpc`` and, after a slash, on the wire."""
