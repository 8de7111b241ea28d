-- oldest program: 3

-- `due_at` is when a waiting job shall run, and when the lease of a running one ends. `asked` says that somebody
-- wants it since it was last taken up. Of one kind and key there is one job that is not finished.
CREATE TABLE jobs (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        TEXT COLLATE "C" NOT NULL,
    key         TEXT COLLATE "C" NOT NULL,
    arguments   TEXT COLLATE "C" NOT NULL, -- JSON
    state       TEXT COLLATE "C" NOT NULL, -- waiting, running, done or dead
    due_at      BIGINT NOT NULL,
    asked       BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    lease       TEXT COLLATE "C", -- proof of whoever runs it
    worker      TEXT COLLATE "C", -- who that is, for people
    error       TEXT COLLATE "C", -- of the last attempt that failed
    created_at  BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE UNIQUE INDEX jobs_unfinished ON jobs (kind, key) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_by_state ON jobs (state, kind);
CREATE INDEX jobs_done ON jobs (finished_at) WHERE state = 'done';

-- What the store is owed a copy of: what happened to a manifest or a tag, or the bytes of a small blob.
CREATE TABLE owed_copies (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order in which things happened to a tag
    at         BIGINT NOT NULL,
    what       TEXT COLLATE "C" NOT NULL, -- pushed, deleted, or blob
    repository TEXT COLLATE "C",
    tag        TEXT COLLATE "C",
    digest     TEXT COLLATE "C" NOT NULL,
    media_type TEXT COLLATE "C"
);
