"""The gRPC methods of the Scheduler API; the messages are those of google-cloud-scheduler."""

from __future__ import annotations

from google.cloud.scheduler_v1 import types as scheduler
from google.protobuf import empty_pb2

from jobrunner.calls import Rpc
from triggers.api.scheduler.methods import SERVICE

_job = scheduler.Job.pb()

RPCS: dict[str, Rpc] = {
    f"{SERVICE}/ListJobs": Rpc(
        scheduler.ListJobsRequest.pb(), scheduler.ListJobsResponse.pb(), "parent"
    ),
    f"{SERVICE}/GetJob": Rpc(scheduler.GetJobRequest.pb(), _job, "name"),
    f"{SERVICE}/CreateJob": Rpc(scheduler.CreateJobRequest.pb(), _job, "parent", "job"),
    f"{SERVICE}/UpdateJob": Rpc(scheduler.UpdateJobRequest.pb(), _job, "job.name", "job"),
    f"{SERVICE}/DeleteJob": Rpc(scheduler.DeleteJobRequest.pb(), empty_pb2.Empty, "name"),
    f"{SERVICE}/PauseJob": Rpc(scheduler.PauseJobRequest.pb(), _job, "name", "*"),
    f"{SERVICE}/ResumeJob": Rpc(scheduler.ResumeJobRequest.pb(), _job, "name", "*"),
    f"{SERVICE}/RunJob": Rpc(scheduler.RunJobRequest.pb(), _job, "name", "*"),
}
