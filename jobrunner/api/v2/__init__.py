"""Cloud Run v2: documents, to and from what is stored (pure), and the methods that bear them."""

from jobrunner.api.v2.orders import RunOrder, order_from_v2
from jobrunner.api.v2.reading import JobDocument, job_from_v2
from jobrunner.api.v2.writing import execution_to_v2, job_to_v2, task_to_v2

__all__ = [
    "JobDocument",
    "RunOrder",
    "execution_to_v2",
    "job_from_v2",
    "job_to_v2",
    "order_from_v2",
    "task_to_v2",
]
