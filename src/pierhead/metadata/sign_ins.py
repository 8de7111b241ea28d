"""Rows of who signed in: the user that a source knows, bound to that source from the first time on."""

import json
from dataclasses import dataclass

from pierhead.metadata.database import Transaction

# So often is it written when somebody was seen.
SEEN_EVERY = 3_600_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class User:
    id: int
    source: str
    hashed: str | None  # the password of a local user
    version: int
    disabled: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user as its source told of it just now."""

    source: str
    name: str
    subject: str
    display: str
    email: str
    groups: tuple[str, ...]


async def find(tx: Transaction, name: str) -> User | None:
    row = await tx.fetch_one(
        """
        SELECT principals.id, source, hashed, coalesce(version, 0), disabled_at
          FROM principals LEFT JOIN passwords ON passwords.principal_id = principals.id
         WHERE name = :name AND kind = 'user'
        """,
        name=name,
    )
    if row is None:
        return None
    found, source, hashed, version, disabled_at = row
    return User(found, source, hashed, version, disabled_at is not None)


async def has_hashes(tx: Transaction) -> bool:
    return await tx.fetch_one("SELECT 1 FROM passwords LIMIT 1") is not None


@dataclass(frozen=True, slots=True)
class Named:
    """A user as he is called here, whatever the source calls him by now."""

    id: int
    name: str
    returned: bool = False  # its source knew it no more for a while


async def remember(tx: Transaction, told: SignedIn) -> Named | None:
    """The user, made at the first sign-in; None where somebody else has the name."""
    groups = json.dumps(sorted(told.groups))
    row = await tx.fetch_one(
        """
        SELECT id, name, coalesce(seen_at, 0) + :every < clock_us()
          FROM principals WHERE source = :source AND subject = :subject AND kind = 'user'
        """,
        source=told.source,
        subject=told.subject,
        every=SEEN_EVERY,
    )
    if row is None:
        return await _add(tx, told, groups)
    found: int = row[0]
    returned = await renew(tx, found, told)
    if row[2]:
        await tx.execute("UPDATE principals SET seen_at = clock_us() WHERE id = :id", id=found)
    return Named(found, row[1], returned)


async def renew(tx: Transaction, principal_id: int, told: SignedIn) -> bool:
    """What its source says of a user today. Whether it had known him no more."""
    await tx.execute(
        """
        UPDATE principals SET display = :display, email = :email, groups = :groups
         WHERE id = :id AND (display <> :display OR email <> :email OR groups <> :groups)
        """,
        id=principal_id,
        display=told.display,
        email=told.email,
        groups=json.dumps(sorted(told.groups)),
    )
    return bool(
        await tx.execute("UPDATE principals SET gone_at = NULL WHERE id = :id AND gone_at IS NOT NULL", id=principal_id)
    )


async def suspend(tx: Transaction, principal_id: int, *, source: str) -> bool:
    """One whom his source knows no more; False where he is suspended already, or not of this source any more."""
    return bool(
        await tx.execute(
            """
            UPDATE principals SET gone_at = clock_us()
             WHERE id = :id AND source = :source AND disabled_at IS NULL AND gone_at IS NULL
            """,
            id=principal_id,
            source=source,
        )
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A user of a source as he was told last."""

    id: int
    name: str
    told: SignedIn
    gone: bool


async def page(tx: Transaction, source: str, *, after: int, limit: int) -> list[Known]:
    """Users of a source with greater ids, in order, but for those that an administrator disabled."""
    rows = await tx.fetch_all(
        """
        SELECT id, name, subject, display, email, groups, gone_at FROM principals
         WHERE source = :source AND kind = 'user' AND disabled_at IS NULL AND id > :after ORDER BY id LIMIT :limit
        """,
        source=source,
        after=after,
        limit=limit,
    )
    return [
        Known(found, name, SignedIn(source, name, subject, display, email, tuple(json.loads(groups))), gone is not None)
        for found, name, subject, display, email, groups, gone in rows
    ]


async def known(tx: Transaction, told: SignedIn) -> Named | None:
    """A user who was here before."""
    row = await tx.fetch_one(
        "SELECT id, name FROM principals WHERE source = :source AND subject = :subject AND kind = 'user'",
        source=told.source,
        subject=told.subject,
    )
    return Named(*row) if row else None


async def unchanged(tx: Transaction, told: SignedIn) -> Named | None:
    """The user where nothing is to be written of this sign-in."""
    row = await tx.fetch_one(
        """
        SELECT id, name FROM principals
         WHERE source = :source AND subject = :subject AND kind = 'user' AND display = :display AND email = :email
           AND groups = :groups AND gone_at IS NULL AND coalesce(seen_at, 0) + :every >= clock_us()
        """,
        source=told.source,
        subject=told.subject,
        display=told.display,
        email=told.email,
        groups=json.dumps(sorted(told.groups)),
        every=SEEN_EVERY,
    )
    return Named(*row) if row else None


async def _add(tx: Transaction, told: SignedIn, groups: str) -> Named | None:
    row = await tx.fetch_one(
        """
        INSERT INTO principals (kind, name, source, subject, display, email, groups, made_at, seen_at)
        VALUES ('user', :name, :source, :subject, :display, :email, :groups, clock_us(), clock_us())
            ON CONFLICT (name) DO NOTHING
        RETURNING id
        """,
        name=told.name,
        source=told.source,
        subject=told.subject,
        display=told.display,
        email=told.email,
        groups=groups,
    )
    if row is not None:
        return Named(row[0], told.name)
    row = await tx.fetch_one(
        """
        SELECT id, name FROM principals
         WHERE name = :name AND source = :source AND subject = :subject AND kind = 'user'
        """,
        name=told.name,
        source=told.source,
        subject=told.subject,
    )
    return Named(*row) if row else None


async def used(tx: Transaction, token_id: int, address: str) -> None:
    """That a token was used, and from where."""
    await tx.execute(
        "UPDATE tokens SET used_at = clock_us(), used_from = :address WHERE id = :id", id=token_id, address=address
    )
