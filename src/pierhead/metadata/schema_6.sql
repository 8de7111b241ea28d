-- What schema 6 adds: deleting without fear, and collecting what nobody needs.

-- What was deleted and can come back until `goes_at`. A tag, a manifest with what belongs to it, a repository, a project.
-- A deleted repository or project gives its name back: its row is called `<name>@<its id>`, which nobody can ask for.
CREATE TABLE trash (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT NOT NULL, -- tag, manifest, repository or project
    project_id    INTEGER NOT NULL REFERENCES projects (id),
    repository_id INTEGER REFERENCES repositories (id), -- none for a project
    name          TEXT NOT NULL, -- of the repository, or of the project
    tag           TEXT, -- of a tag
    digest        TEXT, -- of a manifest, or of what a tag pointed to
    deleted_at    INTEGER NOT NULL,
    goes_at       INTEGER NOT NULL,
    actor         TEXT NOT NULL
);
CREATE INDEX trash_by_repository ON trash (repository_id);
CREATE INDEX trash_by_name ON trash (name);
CREATE INDEX trash_due ON trash (goes_at);

-- The tags that went: of a deleted tag that one, of a deleted manifest all that pointed to it or to what went along.
CREATE TABLE trash_tags (
    trash_id      INTEGER NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    name          TEXT NOT NULL,
    manifest_id   INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    PRIMARY KEY (trash_id, name)
) WITHOUT ROWID;
CREATE INDEX trash_tags_by_name ON trash_tags (repository_id, name, trash_id);
CREATE INDEX trash_tags_by_manifest ON trash_tags (manifest_id);

ALTER TABLE projects ADD COLUMN trash_id INTEGER REFERENCES trash (id);
ALTER TABLE projects ADD COLUMN trash_seconds INTEGER; -- how long its trash is kept; else as the settings say
ALTER TABLE repositories ADD COLUMN trash_id INTEGER REFERENCES trash (id); -- its own, or its project's
CREATE INDEX projects_in_trash ON projects (trash_id) WHERE trash_id IS NOT NULL;
CREATE INDEX repositories_in_trash ON repositories (trash_id) WHERE trash_id IS NOT NULL;

-- A manifest in the trash keeps its row, and with it what it needs; nobody who pulls sees it.
ALTER TABLE manifests ADD COLUMN trash_id INTEGER REFERENCES trash (id);
ALTER TABLE manifests ADD COLUMN untagged_at INTEGER; -- since when no tag points to it
CREATE INDEX manifests_in_trash ON manifests (trash_id) WHERE trash_id IS NOT NULL;
CREATE INDEX manifests_untagged ON manifests (untagged_at) WHERE untagged_at IS NOT NULL AND trash_id IS NULL;
UPDATE manifests SET untagged_at = pushed_at
 WHERE NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id);

-- What nobody may remove: a digest, or a tag, which then stays where it is, with what it points to.
CREATE TABLE pins (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    tag           TEXT,
    digest        TEXT,
    reason        TEXT NOT NULL,
    actor         TEXT NOT NULL,
    made_at       INTEGER NOT NULL,
    until         INTEGER -- none: for ever
);
CREATE UNIQUE INDEX pins_of_tags ON pins (repository_id, tag) WHERE tag IS NOT NULL;
CREATE UNIQUE INDEX pins_of_digests ON pins (repository_id, digest) WHERE digest IS NOT NULL;

-- What a repository holds (or held) and none of its manifests, those in the trash included, needed when somebody looked
-- last. Whatever such a blob is, it has its row in here, so nothing else is ever looked through.
CREATE TABLE unreferenced_blobs (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    digest        TEXT NOT NULL, -- of a blob that may be gone by now
    since         INTEGER NOT NULL,
    leased_until  INTEGER NOT NULL, -- somebody was told that it is there, and may name it till then
    PRIMARY KEY (repository_id, digest)
) WITHOUT ROWID;
CREATE INDEX unreferenced_blobs_by_age ON unreferenced_blobs (since, repository_id, digest);
INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
SELECT repository_id, digest, clock_us(), clock_us() + 3600000000
  FROM repository_blobs AS held
 WHERE NOT EXISTS (SELECT 1 FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
                    WHERE manifest_references.digest = held.digest AND manifests.repository_id = held.repository_id);

ALTER TABLE doomed_keys ADD COLUMN digest TEXT; -- that the key was of, where that is known

-- What was found wrong with the bytes of a blob: until it is pushed again it counts as not there.
ALTER TABLE blobs ADD COLUMN damage TEXT;
CREATE INDEX blobs_damaged ON blobs (digest) WHERE damage IS NOT NULL;

ALTER TABLE events ADD COLUMN reason TEXT;
CREATE INDEX tag_history_by_repository ON tag_history (repository_id, id);

-- Since when, and until when, a repository had its name.
CREATE INDEX events_of_lives ON events (repository_id, id)
 WHERE action IN ('repository.deleted', 'repository.restored');

-- Keys of bytes that no row named and that were removed. Whoever was about to name one comes too late, however late.
CREATE TABLE removed_keys (
    key           TEXT NOT NULL PRIMARY KEY,
    removed_at    INTEGER NOT NULL
) WITHOUT ROWID;

-- How far whoever reads all blobs again has come, in the order of the digits of their digests. There is one row.
CREATE TABLE scrubs (
    name          TEXT NOT NULL PRIMARY KEY,
    began_at      INTEGER NOT NULL, -- this cycle
    reached       TEXT NOT NULL, -- digits of the last digest that was looked at
    blobs         INTEGER NOT NULL, -- looked at in this cycle
    bytes         INTEGER NOT NULL,
    damaged       INTEGER NOT NULL, -- found in it
    looked_at     INTEGER, -- when a blob was last looked at
    whole_at      INTEGER, -- when the last whole cycle ended, and what it found
    whole_blobs   INTEGER,
    whole_bytes   INTEGER,
    whole_damaged INTEGER
) WITHOUT ROWID;

-- What a repository held and lets go of, which comes back with a manifest in the trash that needs it.
CREATE INDEX events_of_deleted_blobs ON events (repository_id, before) WHERE action = 'blob.deleted';
