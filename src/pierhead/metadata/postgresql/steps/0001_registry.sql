-- oldest program: 1
-- The rows of a registry. Times are microseconds since 1970 in UTC; digests are `algorithm:hex`.
-- Text is compared byte by byte (COLLATE "C"), so that `last=` pages in the order of the specification.

-- Of the statement rather than of the moment, so that an index can be searched by it.
CREATE FUNCTION clock_us() RETURNS BIGINT LANGUAGE SQL STABLE
    AS $$ SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) $$;

CREATE TABLE projects (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE repositories (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id BIGINT NOT NULL REFERENCES projects (id),
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
CREATE INDEX repositories_by_project ON repositories (project_id);

-- Content that is stored once, whoever holds it. A key is never used again.
CREATE TABLE blobs (
    digest     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    key        TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE repository_blobs (
    repository_id BIGINT NOT NULL REFERENCES repositories (id),
    digest        TEXT COLLATE "C" NOT NULL REFERENCES blobs (digest),
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);

-- Keys whose rows are gone and whose bytes are still to be removed.
CREATE TABLE doomed_keys (
    key       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    doomed_at BIGINT NOT NULL
);

-- The bytes of manifests, apart from what listings read.
CREATE TABLE manifest_contents (
    digest  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    content BYTEA NOT NULL
);

CREATE TABLE manifests (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repositories (id),
    digest        TEXT COLLATE "C" NOT NULL REFERENCES manifest_contents (digest),
    media_type    TEXT COLLATE "C" NOT NULL,
    size          BIGINT NOT NULL,
    subject       TEXT COLLATE "C",
    artifact_type TEXT COLLATE "C",
    annotations   TEXT COLLATE "C",
    pushed_at     BIGINT NOT NULL,
    UNIQUE (repository_id, digest)
);
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_subject ON manifests (repository_id, subject, digest) WHERE subject IS NOT NULL;

-- What a manifest needs: its config, layers and other blobs, and the manifests of an index.
CREATE TABLE manifest_references (
    manifest_id BIGINT NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    digest      TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (manifest_id, digest)
);
CREATE INDEX manifest_references_by_digest ON manifest_references (digest);

CREATE TABLE tags (
    repository_id BIGINT NOT NULL REFERENCES repositories (id),
    name          TEXT COLLATE "C" NOT NULL,
    manifest_id   BIGINT NOT NULL REFERENCES manifests (id),
    moved_at      BIGINT NOT NULL,
    PRIMARY KEY (repository_id, name)
);
CREATE INDEX tags_by_manifest ON tags (manifest_id);

CREATE TABLE events (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            BIGINT NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    repository_id BIGINT NOT NULL REFERENCES repositories (id),
    tag           TEXT COLLATE "C",
    before        TEXT COLLATE "C",
    after         TEXT COLLATE "C",
    actor         TEXT COLLATE "C" NOT NULL,
    credential    TEXT COLLATE "C" NOT NULL,
    address       TEXT COLLATE "C" NOT NULL,
    agent         TEXT COLLATE "C" NOT NULL,
    request_id    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_by_repository ON events (repository_id, id);

-- Every move of a tag, for ever; `before` and `after` are digests.
CREATE TABLE tag_history (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repositories (id),
    name          TEXT COLLATE "C" NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    before        TEXT COLLATE "C",
    after         TEXT COLLATE "C",
    event_id      BIGINT NOT NULL REFERENCES events (id)
);
CREATE INDEX tag_history_by_name ON tag_history (repository_id, name, id);

-- An upload session: `position` is how many bytes were accepted, `state` the hash of them.
-- Once finished it is remembered by its digest, so that a repeated PUT is answered.
CREATE TABLE uploads (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    repository TEXT COLLATE "C" NOT NULL,
    algorithm  TEXT COLLATE "C" NOT NULL,
    position   BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    state      BYTEA,
    boot       TEXT COLLATE "C" NOT NULL,
    touched_at BIGINT NOT NULL,
    digest     TEXT COLLATE "C"
);
CREATE INDEX uploads_by_touch ON uploads (touched_at);
