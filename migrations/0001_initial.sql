-- The queue, the runs and the decisions. The same text runs on SQLite and on PostgreSQL: hence TEXT, BIGINT and BYTEA (to
-- SQLite a name like any other: a blob stays a blob).
-- Every time is a BIGINT of nanoseconds since the Unix epoch: what the model's clocks have, without a loss.

CREATE TABLE messages (
    lane        TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    -- The order of pushing: the time of the push, made to grow.
    position    BIGINT NOT NULL,
    -- ready, delayed, leased, done (a tombstone, which remembers the key) or dead.
    state       TEXT   NOT NULL,
    -- delayed: ready from then on. leased: ready again from then on.
    visible_at  BIGINT NOT NULL,
    receives    BIGINT NOT NULL DEFAULT 0,
    -- The number in the receipt; it grows whenever older receipts become void.
    lease       BIGINT NOT NULL DEFAULT 0,
    -- The last reason of a nack, or why it was given up.
    reason      TEXT,
    -- When it became done or dead.
    finished_at BIGINT,
    -- Last: a row is then looked at without touching the pages of a large body.
    body        BYTEA  NOT NULL,
    PRIMARY KEY (lane, key)
);

-- One partial index a state: what is done costs nothing to those who look for what is not.
CREATE INDEX messages_ready ON messages (lane, position) WHERE state = 'ready';
CREATE INDEX messages_hidden ON messages (lane, visible_at, state) WHERE state IN ('delayed', 'leased');
CREATE INDEX messages_dead ON messages (lane, finished_at) WHERE state = 'dead';
CREATE INDEX messages_done ON messages (finished_at) WHERE state = 'done';

CREATE TABLE runs (
    id             TEXT   NOT NULL PRIMARY KEY,
    version        BIGINT NOT NULL,
    semantic_key   TEXT   NOT NULL UNIQUE,
    repository     TEXT   NOT NULL,
    subject        BIGINT NOT NULL,
    title          TEXT   NOT NULL,
    workflow       TEXT   NOT NULL,
    group_key      TEXT,
    status         TEXT   NOT NULL,
    conclusion     TEXT,
    created_at     BIGINT NOT NULL,
    finished_at    BIGINT,
    -- Run::due_at; NULL when there is nothing left to do.
    due_at         BIGINT,
    -- The run as JSON. Last, as above.
    run            TEXT   NOT NULL
);

CREATE INDEX runs_created ON runs (created_at, id);
CREATE INDEX runs_repository ON runs (repository, created_at, id);
CREATE INDEX runs_status ON runs (status, created_at, id);
CREATE INDEX runs_due ON runs (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX runs_subject ON runs (repository, subject, created_at, id) WHERE status <> 'completed';
CREATE INDEX runs_group ON runs (repository, group_key, created_at, id) WHERE status <> 'completed';

CREATE TABLE decisions (
    delivery   TEXT   NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    event      TEXT   NOT NULL,
    repository TEXT,
    subject    BIGINT,
    actor      TEXT,
    outcome    TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    -- The runs' ids, a JSON array.
    runs       TEXT   NOT NULL
);

CREATE INDEX decisions_at ON decisions (at, delivery);

-- One row, written to learn whether writing works.
CREATE TABLE health (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
