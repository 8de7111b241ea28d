-- What schema 7 adds: who may do what.

-- Who there is. A user of any source has a row from the first sign-in on, and is bound to that source.
CREATE TABLE principals (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL, -- user, team or robot
    name        TEXT NOT NULL UNIQUE, -- a team begins with @, a robot has a +
    source      TEXT NOT NULL, -- local, htpasswd, ldap:<name> or oidc:<name>
    subject     TEXT NOT NULL, -- what the source calls it; of a team: its group there
    project_id  INTEGER REFERENCES projects (id), -- of a robot that belongs to a project
    display     TEXT NOT NULL,
    email       TEXT NOT NULL,
    groups      TEXT NOT NULL, -- JSON: those that its source told at the last sign-in
    made_at     INTEGER NOT NULL,
    seen_at     INTEGER, -- signed in last
    disabled_at INTEGER, -- by an administrator
    gone_at     INTEGER -- its source knows it no more
);
CREATE INDEX principals_by_subject ON principals (source, subject);
CREATE INDEX principals_by_project ON principals (project_id) WHERE project_id IS NOT NULL;

-- Of local users. `version` grows with every change: who signed in with an earlier one has to sign in anew.
CREATE TABLE passwords (
    principal_id INTEGER NOT NULL PRIMARY KEY REFERENCES principals (id) ON DELETE CASCADE,
    hashed       TEXT NOT NULL,
    version      INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
);
-- The second factor for the pages; it counts once it was proven.
CREATE TABLE second_factors (
    principal_id INTEGER NOT NULL PRIMARY KEY REFERENCES principals (id) ON DELETE CASCADE,
    secret       BLOB NOT NULL,
    proven_at    INTEGER,
    used_step    INTEGER NOT NULL -- the last time step that was taken: a code is good once
);
CREATE TABLE recovery_codes (
    principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    hashed       TEXT NOT NULL,
    made_at      INTEGER NOT NULL,
    PRIMARY KEY (principal_id, hashed)
) WITHOUT ROWID;

CREATE TABLE memberships (
    team_id   INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    member_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    made_at   INTEGER NOT NULL,
    PRIMARY KEY (team_id, member_id)
) WITHOUT ROWID;
CREATE INDEX memberships_by_member ON memberships (member_id);

-- Roles beyond those that come with the program.
CREATE TABLE roles (
    name  TEXT NOT NULL PRIMARY KEY,
    verbs TEXT NOT NULL -- JSON
) WITHOUT ROWID;

-- A role for a principal (none: for all who signed in): on the system, on a project, or on what in it fits a pattern.
CREATE TABLE grants (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    principal_id INTEGER REFERENCES principals (id) ON DELETE CASCADE,
    role         TEXT NOT NULL,
    project_id   INTEGER REFERENCES projects (id),
    pattern      TEXT, -- of names below the project, such as web/**
    made_at      INTEGER NOT NULL,
    actor        TEXT NOT NULL
);
CREATE UNIQUE INDEX grants_once
    ON grants (coalesce(principal_id, 0), role, coalesce(project_id, 0), coalesce(pattern, ''));
CREATE INDEX grants_by_project ON grants (project_id);

-- Secrets that a machine or a client signs in with: personal access tokens, those of robots, refresh tokens.
CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL, -- personal, robot or refresh
    principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    hashed       BLOB NOT NULL, -- SHA-256 of the secret, which has 256 random bits
    verbs        TEXT, -- JSON; none: all that its owner has
    places       TEXT, -- JSON: patterns, and the ids that their projects had; none: everywhere
    proof        TEXT, -- JSON, of a refresh token: what its owner proved when it was made
    made_at      INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    used_at      INTEGER,
    used_from    TEXT
);
CREATE INDEX tokens_by_principal ON tokens (principal_id, kind);
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;

-- What bearer tokens are signed with. The next key is published before it signs, a past one until its tokens end.
CREATE TABLE signing_keys (
    kid        TEXT NOT NULL PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    private    BLOB NOT NULL, -- PKCS #8, DER
    made_at    INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    ends_at    INTEGER -- from when on nobody has a token of it
) WITHOUT ROWID;

-- Who is signed in to the pages.
CREATE TABLE sessions (
    hashed       BLOB NOT NULL PRIMARY KEY, -- SHA-256 of what the browser holds
    principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    proof        TEXT NOT NULL, -- JSON: how, and with which version of the password
    made_at      INTEGER NOT NULL,
    touched_at   INTEGER NOT NULL,
    address      TEXT NOT NULL,
    agent        TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_principal ON sessions (principal_id);
CREATE INDEX sessions_by_touch ON sessions (touched_at);

-- Names that projects and repositories had; they lead to what these are called now, and are given to nobody else.
CREATE TABLE project_aliases (
    name       TEXT NOT NULL PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    made_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX project_aliases_by_project ON project_aliases (project_id);
CREATE TABLE repository_aliases (
    name          TEXT NOT NULL PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    made_at       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX repository_aliases_by_repository ON repository_aliases (repository_id);

ALTER TABLE projects ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private'; -- or public: everybody may pull
ALTER TABLE projects ADD COLUMN owner_id INTEGER REFERENCES principals (id) ON DELETE SET NULL; -- whose own it is
ALTER TABLE repositories ADD COLUMN visibility TEXT; -- none: as its project
-- A page of what somebody sees is made of pages of his projects.
CREATE INDEX repositories_in_order ON repositories (project_id, name);
DROP INDEX repositories_by_project;
CREATE INDEX projects_by_owner ON projects (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX projects_public ON projects (id) WHERE visibility = 'public';
CREATE INDEX repositories_by_visibility ON repositories (visibility, id) WHERE visibility IS NOT NULL;

-- Grows with every change of any of these, so that what was decided on is known to be old. There is one row.
-- `closed`: since when the registry has accounts. From then on it is never again open to whoever is on the machine.
CREATE TABLE access_epoch (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    closed INTEGER
);
INSERT INTO access_epoch (one, number) VALUES (1, 1);
CREATE TRIGGER principals_count_insert AFTER INSERT ON principals
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER principals_count_update AFTER UPDATE OF name, source, subject, project_id, groups, disabled_at, gone_at
    ON principals
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER principals_count_delete AFTER DELETE ON principals
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER passwords_count_insert AFTER INSERT ON passwords
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER passwords_count_update AFTER UPDATE OF version ON passwords
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER passwords_count_delete AFTER DELETE ON passwords
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER memberships_count_insert AFTER INSERT ON memberships
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER memberships_count_update AFTER UPDATE ON memberships
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER memberships_count_delete AFTER DELETE ON memberships
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER roles_count_insert AFTER INSERT ON roles
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER roles_count_update AFTER UPDATE ON roles
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER roles_count_delete AFTER DELETE ON roles
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER grants_count_insert AFTER INSERT ON grants
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER grants_count_update AFTER UPDATE ON grants
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER grants_count_delete AFTER DELETE ON grants
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER tokens_count_update AFTER UPDATE OF verbs, places, expires_at, revoked_at ON tokens
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER tokens_count_delete AFTER DELETE ON tokens
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER project_aliases_count_insert AFTER INSERT ON project_aliases
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER project_aliases_count_update AFTER UPDATE ON project_aliases
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER project_aliases_count_delete AFTER DELETE ON project_aliases
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER repository_aliases_count_insert AFTER INSERT ON repository_aliases
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER repository_aliases_count_update AFTER UPDATE ON repository_aliases
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER repository_aliases_count_delete AFTER DELETE ON repository_aliases
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER projects_count_insert AFTER INSERT ON projects
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER projects_count_update AFTER UPDATE OF name, visibility, owner_id, trash_id ON projects
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER projects_count_delete AFTER DELETE ON projects
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER repositories_count_update AFTER UPDATE OF name, visibility, project_id, trash_id ON repositories
BEGIN UPDATE access_epoch SET number = number + 1; END;
CREATE TRIGGER repositories_count_delete AFTER DELETE ON repositories
BEGIN UPDATE access_epoch SET number = number + 1; END;

-- Audit: events are about anything now, and a chain of seals shows whether one of them was altered or removed.
-- Foreign keys are off meanwhile (engine.py), and what this table had of triggers is made anew there.
CREATE TABLE events_made_anew (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    action        TEXT NOT NULL,
    repository_id INTEGER REFERENCES repositories (id), -- none: about none
    tag           TEXT,
    before        TEXT,
    after         TEXT,
    actor         TEXT NOT NULL,
    credential    TEXT NOT NULL,
    address       TEXT NOT NULL,
    agent         TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    reason        TEXT,
    project_id    INTEGER, -- of what is about a project
    subject       TEXT, -- what it is about outside repositories: user:alice, grant:12, project:team
    outcome       TEXT NOT NULL DEFAULT 'done', -- or refused
    credential_id INTEGER, -- which token
    details       TEXT, -- JSON: before and after, counts
    sequence      INTEGER, -- its place in the chain, without gaps; none: not sealed yet
    seal          BLOB -- over the seal before it and over this row
);
INSERT INTO events_made_anew
       (id, at, action, repository_id, tag, before, after, actor, credential, address, agent, request_id, reason)
SELECT id, at, action, repository_id, tag, before, after, actor, credential, address, agent, request_id, reason
  FROM events;
DROP TABLE events;
ALTER TABLE events_made_anew RENAME TO events;
CREATE INDEX events_by_repository ON events (repository_id, id);
CREATE INDEX events_of_lives ON events (repository_id, id)
 WHERE action IN ('repository.deleted', 'repository.restored');
CREATE INDEX events_of_deleted_blobs ON events (repository_id, before) WHERE action = 'blob.deleted';

-- Whoever writes an event pays for one small index; the others are paid for by who seals it.
CREATE INDEX events_unsealed ON events (id) WHERE sequence IS NULL;
CREATE INDEX events_in_chain ON events (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_time ON events (at, id) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_actor ON events (actor, at, id) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_action ON events (action, at, id) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_address ON events (address, at, id) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_request ON events (request_id, at, id) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_repository ON events (repository_id, at, id) WHERE sequence IS NOT NULL;
CREATE INDEX sealed_by_subject ON events (subject, at, id) WHERE sequence IS NOT NULL AND subject IS NOT NULL;
CREATE INDEX sealed_by_credential ON events (credential_id, at, id)
 WHERE sequence IS NOT NULL AND credential_id IS NOT NULL;
-- An event that a tag's history names cannot go; without this index each that goes would read all of history.
CREATE INDEX tag_history_by_event ON tag_history (event_id);

-- Where the chain stands; there is at most one row. Events up to `pruned` went, but for some that others need: over
-- those that stayed there is a chain of its own.
CREATE TABLE audit_chain (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    sequence    INTEGER NOT NULL, -- of the event sealed last
    seal        BLOB NOT NULL,
    pruned      INTEGER NOT NULL,
    pruned_seal BLOB NOT NULL, -- of that event
    kept        INTEGER NOT NULL, -- how many stayed
    kept_seal   BLOB NOT NULL
) WITHOUT ROWID;

-- Where it stood, signed; the last thousand.
CREATE TABLE audit_heads (
    number    INTEGER NOT NULL PRIMARY KEY,
    sequence  INTEGER NOT NULL,
    said      TEXT NOT NULL, -- JSON, exactly what is signed
    signature BLOB NOT NULL
);

-- How far events, or heads, were handed on.
CREATE TABLE audit_forwards (
    name    TEXT NOT NULL PRIMARY KEY,
    reached INTEGER NOT NULL
) WITHOUT ROWID;
