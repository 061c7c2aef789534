"""Jobs that name a token: storing one of them opens an execution, once per token."""

from __future__ import annotations

from collections.abc import Callable

from jobrunner.core.names import execution_name
from jobrunner.core.records import Execution, Job
from jobrunner.core.spec import JobSpec
from jobrunner.errors import AlreadyExists, NotFound, Refused
from jobrunner.ports import Store


def token_of(spec: JobSpec) -> str:
    """The start token or the run token; a job has at most one of them."""
    return spec.start_execution_token or spec.run_execution_token


class Starting:
    """``open`` opens the execution ``{job}-{token}``; without it tokens are refused, because nobody
    would drive what they open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.open: Callable[[Job, str], Execution] | None = None

    def wanted(self, spec: JobSpec, before: JobSpec | None) -> str:
        """The token that is to open an execution when ``spec`` is stored in place of ``before``;
        empty if there is none, or if it was sent before. Raises Refused without a runner."""
        token = token_of(spec)
        if not token or (before is not None and token_of(before) == token):
            return ""
        if self.open is None:
            raise Refused(
                f"The job names the token '{token}' to start an execution with, and no server is"
                " running that would drive it.",
                hint="Start one with: jobrunner serve; or take the token out and run the job with:"
                " jobrunner jobs execute",
            )
        return token

    def start(self, job: Job, token: str) -> None:
        """Opens the execution, unless the token has opened it before. Raises AlreadyExists if the
        name belongs to an execution of another job."""
        name = execution_name(job.name, token)
        try:
            there = self._store.get_execution(job.scope, name)
        except NotFound:
            if self.open is not None:
                self.open(job, token)
            return
        if there.job_uid != job.uid:
            raise AlreadyExists(f"Resource '{name}' already exists.")
