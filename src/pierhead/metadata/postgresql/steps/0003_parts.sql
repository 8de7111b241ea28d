-- oldest program: 3

ALTER TABLE uploads ADD COLUMN writer TEXT COLLATE "C"; -- the request that writes now
ALTER TABLE uploads ADD COLUMN notes TEXT COLLATE "C"; -- what the store keeps of the session, in its own words

-- What an object store took of an unfinished upload.
CREATE TABLE upload_parts (
    upload_id TEXT COLLATE "C" NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    size      BIGINT NOT NULL,
    tag       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (upload_id, number)
);

-- What a store of objects is still to be told: which digest is under a key.
CREATE TABLE owed_marks (
    key     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest  TEXT COLLATE "C" NOT NULL,
    owed_at BIGINT NOT NULL
);
CREATE INDEX owed_marks_by_age ON owed_marks (owed_at);
