-- What schema 5 adds: registries on their way to another place, and what has to stay meanwhile.

-- `filling`: rows and bytes are still arriving from `place`. `frozen`: nothing is written until `until`.
-- `moved`: the registry is at `place` now, and is served here no more.
CREATE TABLE moves (
    state TEXT NOT NULL PRIMARY KEY,
    place TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
) WITHOUT ROWID;

-- Who copies: while one of these is there and not over, no bytes that a row named may be removed.
CREATE TABLE holds (
    name     TEXT NOT NULL PRIMARY KEY,
    taken_at INTEGER NOT NULL,
    until    INTEGER NOT NULL
) WITHOUT ROWID;
