"""Keys that Google's v1 documents use in labels and annotations."""

from __future__ import annotations

from jobrunner.core import selectors

API_VERSION = "run.googleapis.com/v1"
RUN = "run.googleapis.com/"

LOCATION = selectors.LOCATION
LAST_UPDATED = RUN + "lastUpdatedTime"
JOB = selectors.JOB
JOB_UID = selectors.JOB_UID
JOB_GENERATION = selectors.JOB_GENERATION
EXECUTION = selectors.EXECUTION
RUNNING_STATE = selectors.RUNNING_STATE

SYSTEM_LABELS = frozenset(
    {
        LOCATION,
        LAST_UPDATED,
        JOB,
        JOB_UID,
        JOB_GENERATION,
        RUN + "jobResourceVersion",
        RUN + "satisfiesPzs",
        EXECUTION,
        RUNNING_STATE,
    }
)
"""Written by the server. Clients send them back; they are not read."""

CREATOR = RUN + "creator"
LAST_MODIFIER = RUN + "lastModifier"
OPERATION_ID = RUN + "operation-id"
SYSTEM_ANNOTATIONS = frozenset(
    {
        CREATOR,
        LAST_MODIFIER,
        OPERATION_ID,
        "serving.knative.dev/creator",
        "serving.knative.dev/lastModifier",
    }
)

CLIENT_NAME = RUN + "client-name"
CLIENT_VERSION = RUN + "client-version"
LAUNCH_STAGE = RUN + "launch-stage"
BINARY_AUTHORIZATION = RUN + "binary-authorization"
BREAKGLASS = RUN + "binary-authorization-breakglass"

EXECUTION_ENVIRONMENT = RUN + "execution-environment"
SECRETS = RUN + "secrets"
ENCRYPTION_KEY = RUN + "encryption-key"
CONNECTOR = RUN + "vpc-access-connector"
EGRESS = RUN + "vpc-access-egress"
INTERFACES = RUN + "network-interfaces"
DEPENDENCIES = RUN + "container-dependencies"
ZONAL = RUN + "gpu-zonal-redundancy-disabled"
SCHEDULED = RUN + "scheduled-time"

GCS_DRIVER = "gcsfuse.run.googleapis.com"
CLOUD_SQL_DRIVER = "cloudsql.run.googleapis.com"

IGNORED_CONTAINER_FIELDS = (
    "imagePullPolicy",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "securityContext",
)
REQUESTS = "resources.requests"
