-- What schema 4 adds: background work.

-- `due_at` is when a waiting job shall run, and when the lease of a running one ends. `asked` says that somebody
-- wants it since it was last taken up. Of one kind and key there is one job that is not finished.
CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- an id that somebody noted is never another job's
    kind        TEXT NOT NULL,
    key         TEXT NOT NULL,
    arguments   TEXT NOT NULL, -- JSON
    state       TEXT NOT NULL, -- waiting, running, done or dead
    due_at      INTEGER NOT NULL,
    asked       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    lease       TEXT, -- proof of whoever runs it
    worker      TEXT, -- who that is, for people
    error       TEXT, -- of the last attempt that failed
    created_at  INTEGER NOT NULL,
    finished_at INTEGER
);
CREATE UNIQUE INDEX jobs_unfinished ON jobs (kind, key) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_by_state ON jobs (state, kind);
CREATE INDEX jobs_done ON jobs (finished_at) WHERE state = 'done';

-- What the store is owed a copy of: what happened to a manifest or a tag, or the bytes of a small blob.
CREATE TABLE owed_copies (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which things happened to a tag
    at         INTEGER NOT NULL,
    what       TEXT NOT NULL, -- pushed, deleted, or blob
    repository TEXT,
    tag        TEXT,
    digest     TEXT NOT NULL,
    media_type TEXT
);
