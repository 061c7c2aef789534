-- Written by `python -m jobrunner.store.migrate`; do not edit.
BEGIN IMMEDIATE;
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE changes (
    position BIGINT NOT NULL,
    execution TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at DOUBLE NOT NULL,
    data TEXT NOT NULL,
    CONSTRAINT pk_changes PRIMARY KEY (position),
    CONSTRAINT uq_changes_execution_sequence UNIQUE (execution, sequence)
);
CREATE INDEX ix_changes_at ON changes (at);
CREATE TABLE counters (
    name TEXT NOT NULL,
    value BIGINT NOT NULL,
    CONSTRAINT pk_counters PRIMARY KEY (name)
);
CREATE TABLE jobs (
    uid TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    generation INTEGER NOT NULL,
    resource_version BIGINT NOT NULL,
    created_at DOUBLE NOT NULL,
    updated_at DOUBLE NOT NULL,
    creator TEXT NOT NULL,
    last_modifier TEXT NOT NULL,
    execution_count INTEGER NOT NULL,
    hidden BOOLEAN NOT NULL,
    latest_uid TEXT,
    CONSTRAINT pk_jobs PRIMARY KEY (uid),
    CONSTRAINT uq_jobs_project_region_name UNIQUE (project, region, name)
);
CREATE TABLE projects (
    id TEXT NOT NULL,
    number BIGINT NOT NULL,
    CONSTRAINT pk_projects PRIMARY KEY (id),
    CONSTRAINT uq_projects_number UNIQUE (number)
);
CREATE TABLE executions (
    uid TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    job_uid TEXT NOT NULL,
    job_name TEXT NOT NULL,
    job_generation INTEGER NOT NULL,
    template TEXT NOT NULL,
    task_count INTEGER NOT NULL,
    parallelism INTEGER NOT NULL,
    backend TEXT NOT NULL,
    state TEXT NOT NULL,
    running INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    started_at DOUBLE,
    completed_at DOUBLE,
    creator TEXT NOT NULL,
    indices TEXT,
    env_task_count INTEGER NOT NULL,
    parent TEXT,
    image_digest TEXT,
    abort_kind TEXT,
    abort_at DOUBLE,
    abort_message TEXT,
    abort_reason TEXT,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    failed_index INTEGER,
    lease_owner TEXT,
    lease_epoch INTEGER NOT NULL,
    lease_until DOUBLE,
    generation INTEGER NOT NULL,
    resource_version BIGINT NOT NULL,
    hidden BOOLEAN NOT NULL,
    idempotency_key TEXT,
    change_count INTEGER NOT NULL,
    CONSTRAINT pk_executions PRIMARY KEY (uid),
    CONSTRAINT fk_executions_job_uid FOREIGN KEY(job_uid) REFERENCES jobs (uid) ON DELETE CASCADE,
    CONSTRAINT uq_executions_job_uid_idempotency_key UNIQUE (job_uid, idempotency_key),
    CONSTRAINT uq_executions_project_region_name UNIQUE (project, region, name)
);
CREATE INDEX ix_executions_place_created ON executions (project, region, created_at, uid);
CREATE INDEX ix_executions_job_created ON executions (project, region, job_name, created_at, uid);
CREATE INDEX ix_executions_job_settled ON executions (job_uid, completed_at, uid) WHERE completed_at IS NOT NULL;
CREATE INDEX ix_executions_lease ON executions (lease_owner) WHERE completed_at IS NULL;
CREATE INDEX ix_executions_settled ON executions (completed_at, uid) WHERE completed_at IS NOT NULL;
CREATE INDEX ix_executions_unsettled ON executions (created_at) WHERE completed_at IS NULL;
CREATE TABLE attempts (
    execution TEXT NOT NULL,
    idx INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    handle TEXT,
    stop_reason TEXT,
    claimed_at DOUBLE NOT NULL,
    launched_at DOUBLE,
    stopping_at DOUBLE,
    ended_at DOUBLE,
    exit_code BIGINT,
    signal INTEGER,
    oom BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    usage_user DOUBLE,
    usage_system DOUBLE,
    usage_max_rss BIGINT,
    output BIGINT,
    CONSTRAINT pk_attempts PRIMARY KEY (execution, idx, number),
    CONSTRAINT fk_attempts_execution FOREIGN KEY(execution) REFERENCES executions (uid) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE tasks (
    execution TEXT NOT NULL,
    idx INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    not_before DOUBLE,
    started_at DOUBLE,
    completed_at DOUBLE,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    exit_code BIGINT,
    signal INTEGER,
    CONSTRAINT pk_tasks PRIMARY KEY (execution, idx),
    CONSTRAINT fk_tasks_execution FOREIGN KEY(execution) REFERENCES executions (uid) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE run_keys (
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    job_name TEXT NOT NULL,
    "key" TEXT NOT NULL,
    execution TEXT NOT NULL,
    execution_name TEXT NOT NULL,
    at DOUBLE NOT NULL,
    CONSTRAINT pk_run_keys PRIMARY KEY (project, region, job_name, "key")
)
 WITHOUT ROWID;
CREATE INDEX ix_run_keys_at ON run_keys (at);
CREATE TABLE operations (
    id TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    kind TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_uid TEXT NOT NULL,
    target_name TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    done_at DOUBLE,
    document TEXT NOT NULL,
    CONSTRAINT pk_operations PRIMARY KEY (id)
);
CREATE INDEX ix_operations_place_created ON operations (project, region, created_at, id);
CREATE INDEX ix_operations_created ON operations (created_at);
CREATE TABLE policies (
    job_uid TEXT NOT NULL,
    document TEXT NOT NULL,
    etag TEXT NOT NULL,
    version INTEGER NOT NULL,
    CONSTRAINT pk_policies PRIMARY KEY (job_uid),
    CONSTRAINT fk_policies_job_uid FOREIGN KEY(job_uid) REFERENCES jobs (uid) ON DELETE CASCADE
);
CREATE TABLE tokens (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role INTEGER NOT NULL,
    hash TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    expires_at DOUBLE,
    last_used_at DOUBLE,
    revoked_at DOUBLE,
    creator TEXT NOT NULL,
    CONSTRAINT pk_tokens PRIMARY KEY (id),
    CONSTRAINT uq_tokens_hash UNIQUE (hash)
);
CREATE UNIQUE INDEX ix_tokens_living_name ON tokens (name) WHERE revoked_at IS NULL;
CREATE TABLE audit (
    position BIGINT NOT NULL,
    at DOUBLE NOT NULL,
    actor TEXT NOT NULL,
    method TEXT NOT NULL,
    resource TEXT NOT NULL,
    code INTEGER NOT NULL,
    detail TEXT NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (position)
);
CREATE INDEX ix_audit_at ON audit (at);
CREATE TABLE homes (
    id TEXT NOT NULL,
    path TEXT NOT NULL,
    host TEXT NOT NULL,
    since DOUBLE NOT NULL,
    CONSTRAINT pk_homes PRIMARY KEY (id)
);
CREATE INDEX ix_executions_parent ON executions (project, region, parent, created_at, uid) WHERE parent IS NOT NULL;
CREATE INDEX ix_jobs_shown ON jobs (project, region, name) WHERE NOT hidden;
CREATE INDEX ix_executions_shown ON executions (created_at, uid) WHERE NOT hidden;
CREATE INDEX ix_executions_place_shown ON executions (project, region, created_at, uid) WHERE NOT hidden;
CREATE INDEX ix_executions_wished ON executions (created_at) WHERE completed_at IS NULL AND abort_kind IS NOT NULL;
INSERT INTO alembic_version VALUES ('0002');
INSERT INTO counters VALUES ('changes', 0);
INSERT INTO counters VALUES ('audit', 0);
INSERT INTO projects VALUES ('local', 1000000000001);
COMMIT;
