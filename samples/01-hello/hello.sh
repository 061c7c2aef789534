#!/bin/sh
# One task: says which one it is. Cloud Run sets the same variables.
echo "Hello from task $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT, attempt $CLOUD_RUN_TASK_ATTEMPT"
