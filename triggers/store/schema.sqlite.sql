-- Written by `python -m triggers.store.migrate`; do not edit.
BEGIN IMMEDIATE;
CREATE TABLE triggers_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT triggers_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE deliveries (
    position INTEGER NOT NULL,
    uid TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    source TEXT NOT NULL,
    source_name TEXT NOT NULL,
    lane TEXT NOT NULL,
    place TEXT NOT NULL,
    "key" TEXT NOT NULL,
    target TEXT NOT NULL,
    retry TEXT NOT NULL,
    payload TEXT,
    order_key TEXT,
    waits BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    queued_at DOUBLE NOT NULL,
    not_before DOUBLE NOT NULL,
    first_attempt_at DOUBLE,
    last_attempt_at DOUBLE,
    attempts INTEGER NOT NULL,
    responses INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    last_status INTEGER,
    lease_owner TEXT,
    lease_until DOUBLE,
    run_try INTEGER NOT NULL,
    execution TEXT,
    parent TEXT,
    hops INTEGER NOT NULL,
    reason TEXT NOT NULL,
    settled_at DOUBLE,
    ages_out_at DOUBLE, gated BOOLEAN DEFAULT 0 NOT NULL, forced BOOLEAN DEFAULT 0 NOT NULL,
    CONSTRAINT pk_deliveries PRIMARY KEY (position)
);
CREATE UNIQUE INDEX ix_deliveries_uid ON deliveries (uid);
CREATE UNIQUE INDEX ix_deliveries_lane_key ON deliveries (lane, "key");
CREATE UNIQUE INDEX ix_deliveries_parent ON deliveries (parent) WHERE parent IS NOT NULL;
CREATE INDEX ix_deliveries_order ON deliveries (lane, order_key, position) WHERE order_key IS NOT NULL AND settled_at IS NULL;
CREATE INDEX ix_deliveries_lease ON deliveries (lease_until) WHERE state = 'SENDING';
CREATE INDEX ix_deliveries_following ON deliveries (position) WHERE state = 'FOLLOWING';
CREATE INDEX ix_deliveries_dead ON deliveries (position) WHERE state = 'DEAD';
CREATE INDEX ix_deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX ix_deliveries_ages ON deliveries (ages_out_at) WHERE state = 'PENDING' AND ages_out_at IS NOT NULL;
CREATE TABLE delivery_attempts (
    delivery TEXT NOT NULL,
    number INTEGER NOT NULL,
    started_at DOUBLE NOT NULL,
    scheduled_at DOUBLE NOT NULL,
    ended_at DOUBLE,
    status INTEGER,
    ruling TEXT,
    excerpt BLOB NOT NULL,
    error TEXT NOT NULL,
    execution TEXT,
    retry_at DOUBLE, broken TEXT,
    CONSTRAINT pk_delivery_attempts PRIMARY KEY (delivery, number),
    CONSTRAINT fk_delivery_attempts_delivery FOREIGN KEY(delivery) REFERENCES deliveries (uid) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE schedules (
    uid TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    target TEXT NOT NULL,
    retry TEXT NOT NULL,
    settings TEXT NOT NULL,
    CONSTRAINT pk_schedules PRIMARY KEY (uid),
    CONSTRAINT uq_schedules_project_region_name UNIQUE (project, region, name)
);
CREATE TABLE occurrences (
    schedule TEXT NOT NULL,
    nominal BIGINT NOT NULL,
    backfill TEXT NOT NULL,
    due_at DOUBLE NOT NULL,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    delivery TEXT,
    created_at DOUBLE NOT NULL,
    opened_at DOUBLE,
    settled_at DOUBLE,
    CONSTRAINT pk_occurrences PRIMARY KEY (schedule, nominal, backfill),
    CONSTRAINT fk_occurrences_schedule FOREIGN KEY(schedule) REFERENCES schedules (uid) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX ix_occurrences_open ON occurrences (state, schedule, nominal) WHERE state = 'OPEN';
CREATE INDEX ix_occurrences_waiting ON occurrences (state, schedule, nominal) WHERE state = 'WAITING';
CREATE INDEX ix_occurrences_settled ON occurrences (settled_at) WHERE settled_at IS NOT NULL;
CREATE TABLE queues (
    uid TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    CONSTRAINT pk_queues PRIMARY KEY (uid),
    CONSTRAINT uq_queues_project_region_name UNIQUE (project, region, name)
);
CREATE TABLE gates (
    lane TEXT NOT NULL,
    is_open BOOLEAN NOT NULL,
    per_second DOUBLE NOT NULL,
    burst INTEGER NOT NULL,
    concurrent INTEGER NOT NULL,
    tokens DOUBLE NOT NULL,
    at DOUBLE NOT NULL,
    share DOUBLE NOT NULL,
    due_at DOUBLE,
    override TEXT,
    CONSTRAINT pk_gates PRIMARY KEY (lane)
)
 WITHOUT ROWID;
CREATE INDEX ix_gates_due ON gates (due_at, lane) WHERE is_open AND due_at IS NOT NULL;
CREATE INDEX ix_deliveries_lane_due ON deliveries (lane, place, not_before, position) WHERE state = 'PENDING' AND NOT waits AND NOT gated;
CREATE INDEX ix_deliveries_due ON deliveries (not_before, position) WHERE state = 'PENDING' AND NOT waits AND NOT gated;
CREATE INDEX ix_deliveries_gated_lane_due ON deliveries (lane, place, not_before, position) WHERE state = 'PENDING' AND NOT waits AND gated;
CREATE INDEX ix_deliveries_gated_due ON deliveries (lane, not_before, position) WHERE state = 'PENDING' AND NOT waits AND gated;
CREATE INDEX ix_deliveries_tasks ON deliveries (lane, position) WHERE source = 'queue' AND settled_at IS NULL;
CREATE INDEX ix_deliveries_under_way ON deliveries (lane) WHERE source = 'queue' AND (state = 'SENDING' OR state = 'FOLLOWING');
CREATE TABLE resources (
    uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    facet TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT pk_resources PRIMARY KEY (uid),
    CONSTRAINT uq_resources_kind_project_region_name UNIQUE (kind, project, region, name)
);
CREATE INDEX ix_resources_name ON resources (kind, name);
CREATE INDEX ix_resources_facet ON resources (kind, facet);
CREATE TABLE resource_policies (
    owner TEXT NOT NULL,
    document TEXT NOT NULL,
    etag TEXT NOT NULL,
    version INTEGER NOT NULL,
    CONSTRAINT pk_resource_policies PRIMARY KEY (owner)
);
CREATE TABLE event_log (
    position INTEGER NOT NULL,
    at DOUBLE NOT NULL,
    project TEXT NOT NULL,
    region TEXT NOT NULL,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT pk_event_log PRIMARY KEY (position)
);
CREATE TABLE cursors (
    name TEXT NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT pk_cursors PRIMARY KEY (name)
);
CREATE TABLE bucket_objects (
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    metageneration BIGINT NOT NULL,
    inode TEXT NOT NULL,
    size BIGINT NOT NULL,
    mtime BIGINT NOT NULL,
    mode BIGINT NOT NULL,
    md5 TEXT NOT NULL,
    updated DOUBLE NOT NULL,
    CONSTRAINT pk_bucket_objects PRIMARY KEY (bucket, name)
);
CREATE TABLE schedule_clocks (
    uid TEXT NOT NULL,
    last DOUBLE NOT NULL,
    next_at DOUBLE,
    CONSTRAINT pk_schedule_clocks PRIMARY KEY (uid),
    CONSTRAINT fk_schedule_clocks_uid FOREIGN KEY(uid) REFERENCES schedules (uid) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX ix_schedule_clocks_next ON schedule_clocks (next_at, uid) WHERE next_at IS NOT NULL;
INSERT INTO triggers_version VALUES ('0011');
COMMIT;
