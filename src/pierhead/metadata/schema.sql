-- The rows of a registry. Times are microseconds since 1970 in UTC; digests are `algorithm:hex`.
-- Text is compared byte by byte, so that `last=` pages in the order of the specification.

CREATE TABLE projects (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);

CREATE TABLE repositories (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);
CREATE INDEX repositories_by_project ON repositories (project_id);

-- Content that is stored once, whoever holds it. A key is never used again.
CREATE TABLE blobs (
    digest     TEXT NOT NULL PRIMARY KEY,
    size       INTEGER NOT NULL,
    key        TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE repository_blobs (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    digest        TEXT NOT NULL REFERENCES blobs (digest),
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (repository_id, digest)
) WITHOUT ROWID;
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);

-- Keys whose rows are gone and whose bytes are still to be removed.
CREATE TABLE doomed_keys (
    key       TEXT NOT NULL PRIMARY KEY,
    doomed_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The bytes of manifests, apart from what listings read.
CREATE TABLE manifest_contents (
    digest  TEXT NOT NULL PRIMARY KEY,
    content BLOB NOT NULL
);

CREATE TABLE manifests (
    id            INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    digest        TEXT NOT NULL REFERENCES manifest_contents (digest),
    media_type    TEXT NOT NULL,
    size          INTEGER NOT NULL,
    subject       TEXT,
    artifact_type TEXT,
    annotations   TEXT,
    pushed_at     INTEGER NOT NULL,
    UNIQUE (repository_id, digest)
);
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_subject ON manifests (repository_id, subject, digest) WHERE subject IS NOT NULL;

-- What a manifest needs: its config, layers and other blobs, and the manifests of an index.
CREATE TABLE manifest_references (
    manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    PRIMARY KEY (manifest_id, digest)
) WITHOUT ROWID;
CREATE INDEX manifest_references_by_digest ON manifest_references (digest);

CREATE TABLE tags (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    name          TEXT NOT NULL,
    manifest_id   INTEGER NOT NULL REFERENCES manifests (id),
    moved_at      INTEGER NOT NULL,
    PRIMARY KEY (repository_id, name)
) WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (manifest_id);

-- Every move of a tag, for ever; `before` and `after` are digests.
CREATE TABLE tag_history (
    id            INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    name          TEXT NOT NULL,
    action        TEXT NOT NULL,
    before        TEXT,
    after         TEXT,
    event_id      INTEGER NOT NULL REFERENCES events (id)
);
CREATE INDEX tag_history_by_name ON tag_history (repository_id, name, id);

CREATE TABLE events (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    action        TEXT NOT NULL,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    tag           TEXT,
    before        TEXT,
    after         TEXT,
    actor         TEXT NOT NULL,
    credential    TEXT NOT NULL,
    address       TEXT NOT NULL,
    agent         TEXT NOT NULL,
    request_id    TEXT NOT NULL
);
CREATE INDEX events_by_repository ON events (repository_id, id);

-- An upload session: `position` is how many bytes were accepted, `state` the hash of them.
-- Once finished it is remembered by its digest, so that a repeated PUT is answered.
CREATE TABLE uploads (
    id         TEXT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    algorithm  TEXT NOT NULL,
    position   INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    state      BLOB,
    boot       TEXT NOT NULL,
    touched_at INTEGER NOT NULL,
    digest     TEXT
) WITHOUT ROWID;
CREATE INDEX uploads_by_touch ON uploads (touched_at);
