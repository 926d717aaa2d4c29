-- What repositories' workflows want by the clock. One small row a repository, changed by compare-and-set on its version; it stays when its last
-- line goes, so that a version never comes back.
CREATE TABLE schedules (
    -- owner/name in lower case.
    repository TEXT   NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL,
    -- Schedules::due_at; NULL when nothing is due any more.
    due_at     BIGINT,
    -- As JSON.
    schedules  TEXT   NOT NULL
);

CREATE INDEX schedules_due ON schedules (due_at, repository) WHERE due_at IS NOT NULL;
