-- What schema 3 adds: uploads into stores that have no locks of their own.

ALTER TABLE uploads ADD COLUMN writer TEXT; -- the request that writes now
ALTER TABLE uploads ADD COLUMN notes TEXT; -- what the store keeps of the session, in its own words

-- What an object store took of an unfinished upload.
CREATE TABLE upload_parts (
    upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    size      INTEGER NOT NULL,
    tag       TEXT NOT NULL,
    PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;

-- What a store of objects is still to be told: which digest is under a key.
CREATE TABLE owed_marks (
    key     TEXT NOT NULL PRIMARY KEY,
    digest  TEXT NOT NULL,
    owed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX owed_marks_by_age ON owed_marks (owed_at);
