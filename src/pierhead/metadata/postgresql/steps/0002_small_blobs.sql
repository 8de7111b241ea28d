-- oldest program: 2

-- The bytes of small blobs: a file of its own, and two syncs, would cost more than they do.
CREATE TABLE blob_contents (
    digest  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES blobs (digest) ON DELETE CASCADE,
    content BYTEA NOT NULL
);

-- What all processes know and nobody else does.
CREATE TABLE secrets (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);
