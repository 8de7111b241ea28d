"""Rows of people and of what they hold, as short as a test wants to say it."""

import json
from dataclasses import dataclass

from pierhead.access.principal import Principal
from pierhead.accounts import secret
from pierhead.metadata.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class People:
    database: Database

    async def _id(self, sql: str, **values: str | int | bytes | None) -> int:
        async def add(tx: Transaction) -> int:
            row = await tx.fetch_one(sql, **values)
            assert row is not None
            return int(row[0])

        return await self.database.write(add)

    async def user(self, name: str, *, kind: str = "user", source: str = "local", groups: tuple[str, ...] = ()) -> int:
        return await self._id(
            """
            INSERT INTO principals (kind, name, source, subject, display, email, groups, made_at)
            VALUES (:kind, :name, :source, :name, '', '', :groups, 1) RETURNING id
            """,
            kind=kind,
            name=name,
            source=source,
            groups=json.dumps(groups),
        )

    async def member(self, team: int, member: int) -> None:
        await self._run(
            "INSERT INTO memberships (team_id, member_id, made_at) VALUES (:team, :member, 1)", team=team, member=member
        )

    async def project(self, name: str, *, visibility: str = "private") -> int:
        return await self._id(
            "INSERT INTO projects (name, created_at, visibility) VALUES (:name, clock_us(), :visibility) RETURNING id",
            name=name,
            visibility=visibility,
        )

    async def repository(self, name: str, *, visibility: str | None = None) -> int:
        return await self._id(
            """
            INSERT INTO repositories (project_id, name, created_at, visibility)
            SELECT id, :name, 1, CAST(:visibility AS TEXT) FROM projects WHERE name = :project RETURNING id
            """,
            name=name,
            project=name.partition("/")[0],
            visibility=visibility,
        )

    async def grant(
        self, principal: int | None, role: str, project: int | None = None, pattern: str | None = None
    ) -> int:
        return await self._id(
            """
            INSERT INTO grants (principal_id, role, project_id, pattern, made_at, actor)
            VALUES (CAST(:principal AS BIGINT), :role, CAST(:project AS BIGINT), CAST(:pattern AS TEXT), 1, 'test')
            RETURNING id
            """,
            principal=principal,
            role=role,
            project=project,
            pattern=pattern,
        )

    async def role(self, name: str, *verbs: str) -> None:
        await self._run("INSERT INTO roles (name, verbs) VALUES (:name, :verbs)", name=name, verbs=json.dumps(verbs))

    async def password(self, principal: int, hashed: str) -> None:
        await self._run(
            "INSERT INTO passwords (principal_id, hashed, version, changed_at) VALUES (:id, :hashed, 1, 1)",
            id=principal,
            hashed=hashed,
        )

    async def token(
        self,
        principal: int,
        *,
        kind: secret.Kind = "personal",
        verbs: tuple[str, ...] | None = None,
        places: tuple[tuple[int | None, str], ...] | None = None,
        expires_at: int | None = None,
    ) -> str:
        drawn = secret.draw()
        made = await self._id(
            """
            INSERT INTO tokens (kind, principal_id, name, hashed, verbs, places, made_at, expires_at)
            VALUES (:kind, :principal, 'test', :hashed, CAST(:verbs AS TEXT), CAST(:places AS TEXT), 1,
                    CAST(:expires_at AS BIGINT))
            RETURNING id
            """,
            kind=kind,
            principal=principal,
            hashed=secret.hashed(drawn),
            verbs=None if verbs is None else json.dumps(verbs),
            places=None if places is None else json.dumps(places),
            expires_at=expires_at,
        )
        return secret.show(kind, made, drawn)

    async def run(self, sql: str, **values: str | int | None) -> None:
        await self._run(sql, **values)

    async def _run(self, sql: str, **values: str | int | None) -> None:
        async def run(tx: Transaction) -> None:
            await tx.execute(sql, **values)

        await self.database.write(run)


def as_user(principal_id: int, name: str = "alice", source: str = "local") -> Principal:
    return Principal(name, "password", principal_id, source=source)
