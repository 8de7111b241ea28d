-- What schema 2 adds to the first.

-- The bytes of small blobs: a file of its own, and two syncs, would cost more than they do.
CREATE TABLE blob_contents (
    digest  TEXT NOT NULL PRIMARY KEY REFERENCES blobs (digest) ON DELETE CASCADE,
    content BLOB NOT NULL
);

-- What all processes know and nobody else does.
CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
