-- Concurrency groups: who waits and who holds. One small row a group, changed by compare-and-set on its version; it stays when its last entry
-- leaves, so that a version never comes back.
CREATE TABLE concurrency_groups (
    repository TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    -- The group as JSON.
    entries    TEXT   NOT NULL,
    PRIMARY KEY (repository, name)
);
