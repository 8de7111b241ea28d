"""Rows of projects and repositories."""

from collections.abc import Sequence

from pierhead.errors import AccessDenied, AlreadyThere, Busy, NameTaken
from pierhead.metadata import aliases, events
from pierhead.metadata.database import Transaction
from pierhead.metadata.portions import among
from pierhead.models import Actor, RepositoryName

_TRIES = 3


async def identify(tx: Transaction, name: RepositoryName) -> int | None:
    """The id of a repository, None where there is none of this name."""
    row = await tx.fetch_one("SELECT id FROM repositories WHERE name = :name", name=name)
    return row[0] if row else None


async def identify_project(tx: Transaction, name: str) -> int | None:
    row = await tx.fetch_one("SELECT id FROM projects WHERE name = :name", name=name)
    return row[0] if row else None


async def ensure(tx: Transaction, name: RepositoryName, actor: Actor | None = None) -> int:
    """The id of a repository, made with its project where they are missing; the project is then its maker's.

    Raises AccessDenied for who may push to a new project alone, where somebody else has made it meanwhile.
    """
    for _ in range(_TRIES):
        found = await identify(tx, name)
        if found is not None:
            # Only now: whoever made the project at the same time was waited for, and is seen.
            if actor is not None and actor.founds and await _is_foreign(tx, name.project, actor):
                raise AccessDenied(f"push on {name}")
            return found
        await _make(tx, name, actor)
    raise Busy(f"{name} is being deleted")


async def _is_foreign(tx: Transaction, project: str, actor: Actor) -> bool:
    row = await tx.fetch_one(
        """
        SELECT EXISTS (SELECT 1 FROM grants WHERE project_id = projects.id AND principal_id = :id)
          FROM projects WHERE name = :project
        """,
        project=project,
        id=actor.id,
    )
    return row is not None and not row[0]


async def _make(tx: Transaction, name: RepositoryName, actor: Actor | None) -> None:
    """Makes a repository, unless its project is deleted meanwhile, and gives its name back."""
    made = await tx.execute(
        "INSERT INTO projects (name, created_at) VALUES (:name, clock_us()) ON CONFLICT (name) DO NOTHING",
        name=name.project,
    )
    if made and actor is not None:
        await _tell(tx, name.project, actor)
    await tx.execute(
        """
        INSERT INTO repositories (project_id, name, created_at)
        SELECT id, :name, clock_us() FROM projects WHERE name = :project /*! FOR SHARE */
            ON CONFLICT (name) DO NOTHING
        """,
        name=name,
        project=name.project,
    )
    alias = await aliases.reserving(tx, name)
    if alias is not None and alias.is_live:
        # Who asked before it was renamed: it is found by its next name when asked for once more.
        raise Busy(f"{name} was renamed meanwhile")
    if alias is not None:
        raise AlreadyThere(
            f"{alias.name} leads to a {alias.kind} in the trash; first: pierhead project alias remove {alias.name}"
        )


async def _tell(tx: Transaction, project: str, actor: Actor) -> None:
    """Writes that a project was made by a push; its maker is its administrator."""
    project_id = await identify_project(tx, project)
    details = {"visibility": "private", "by": "push"}
    await events.record_change(
        tx, "project.created", f"project:{project}", actor, project_id=project_id, details=details
    )
    if actor.id is None:
        return
    await tx.execute(
        """
        INSERT INTO grants (principal_id, role, project_id, made_at, actor)
        VALUES (:id, 'admin', :project_id, clock_us(), :actor)
        """,
        id=actor.id,
        actor=actor.name,
        project_id=project_id,
    )


async def names(tx: Transaction, ids: Sequence[int]) -> dict[int, RepositoryName]:
    """What repositories are called now."""
    rows = await among(tx, "SELECT id, name FROM repositories WHERE id IN ?", ids)
    return {repository_id: RepositoryName(name) for repository_id, name in rows}


async def keep_names(tx: Transaction, ids: Sequence[int]) -> dict[int, RepositoryName]:
    """The same, to the end of the transaction; without those that are being named anew."""
    rows = await among(tx, "SELECT id, name FROM repositories WHERE id IN ? /*! FOR SHARE SKIP LOCKED */", ids)
    return {repository_id: RepositoryName(name) for repository_id, name in rows}


async def name(tx: Transaction, repository_id: int) -> RepositoryName | None:
    """What a repository is called now."""
    row = await tx.fetch_one("SELECT name FROM repositories WHERE id = :id", id=repository_id)
    return RepositoryName(row[0]) if row else None


async def ensure_project(tx: Transaction, name: str) -> int:
    """The id of a project, made where it is missing; it is not deleted before the end of the transaction.

    Raises NameTaken for a name that a project had which is called otherwise now.
    """
    for _ in range(_TRIES):
        await tx.execute(
            "INSERT INTO projects (name, created_at) VALUES (:name, clock_us()) ON CONFLICT (name) DO NOTHING",
            name=name,
        )
        row = await tx.fetch_one("SELECT id FROM projects WHERE name = :name /*! FOR SHARE */", name=name)
        if row is not None:
            if await aliases.find(tx, "project", name) is not None:
                raise NameTaken(f"{name} leads to a project that was renamed")
            found: int = row[0]
            return found
    raise Busy(f"{name} is being deleted")


async def mark(tx: Transaction, trash_id: int, repository_id: int) -> None:
    """Puts a repository into an entry of the trash; `hide_all` comes next."""
    await tx.execute("UPDATE repositories SET trash_id = :trash_id WHERE id = :id", trash_id=trash_id, id=repository_id)


async def mark_project(tx: Transaction, trash_id: int, project_id: int) -> None:
    """Puts a project and its repositories into an entry of the trash, and takes its name away.

    Those that were deleted before stay in their own entries.
    """
    # The project first: whoever makes a repository in it is done then, or makes the project anew.
    await tx.execute(
        "UPDATE projects SET name = name || '@' || id, trash_id = :trash_id WHERE id = :id",
        trash_id=trash_id,
        id=project_id,
    )
    await tx.execute(
        "UPDATE repositories SET trash_id = :trash_id WHERE project_id = :id AND name NOT LIKE '%@%'",
        trash_id=trash_id,
        id=project_id,
    )


async def hide_all(tx: Transaction, trash_id: int) -> None:
    """Takes the names of the repositories of an entry away: none that a client may ask for is left."""
    await tx.execute("UPDATE repositories SET name = name || '@' || id WHERE trash_id = :trash_id", trash_id=trash_id)


async def show(tx: Transaction, repository_id: int, name: RepositoryName, project_id: int) -> bool:
    """Gives a repository a name and a project; False where another one has the name. `forget_entry` comes next."""
    # Whoever makes a repository of this name meanwhile waits for this row, and finds the name taken.
    reserved = await tx.execute(
        """
        INSERT INTO repositories (project_id, name, created_at) VALUES (:project_id, :name, clock_us())
            ON CONFLICT (name) DO NOTHING
        """,
        project_id=project_id,
        name=name,
    )
    if not reserved:
        return False
    await tx.execute("DELETE FROM repositories WHERE name = :name", name=name)
    if await aliases.find(tx, "repository", name) is not None:
        return False
    await tx.execute(
        "UPDATE repositories SET name = :name, project_id = :project_id WHERE id = :id",
        id=repository_id,
        name=name,
        project_id=project_id,
    )
    return True


async def show_project(tx: Transaction, project_id: int, name: str) -> bool:
    """Gives a project its name back; False where another one has it. `forget_entry` comes next."""
    reserved = await tx.execute(
        "INSERT INTO projects (name, created_at) VALUES (:name, clock_us()) ON CONFLICT (name) DO NOTHING", name=name
    )
    if not reserved:
        return False
    await tx.execute("DELETE FROM projects WHERE name = :name", name=name)
    if await aliases.find(tx, "project", name) is not None:
        return False
    await tx.execute("UPDATE projects SET name = :name WHERE id = :id", id=project_id, name=name)
    return True


async def show_all(tx: Transaction, trash_id: int) -> None:
    """Gives the repositories of an entry of the trash their names back; `forget_entry` comes next."""
    await tx.execute(
        "UPDATE repositories SET name = replace(name, '@' || id, '') WHERE trash_id = :trash_id", trash_id=trash_id
    )


async def forget_entry(tx: Transaction, trash_id: int) -> None:
    """Repositories and projects that were in an entry of the trash are in none any more."""
    await tx.execute("UPDATE repositories SET trash_id = NULL WHERE trash_id = :trash_id", trash_id=trash_id)
    await tx.execute("UPDATE projects SET trash_id = NULL WHERE trash_id = :trash_id", trash_id=trash_id)


async def leave_entry(tx: Transaction, trash_id: int, repository_id: int) -> bool:
    """Takes a repository out of an entry of the trash; False where it was in it no more."""
    return bool(
        await tx.execute(
            "UPDATE repositories SET trash_id = NULL WHERE id = :id AND trash_id = :trash_id",
            id=repository_id,
            trash_id=trash_id,
        )
    )


async def in_entry(tx: Transaction, trash_id: int, *, limit: int) -> list[int]:
    """Some repositories of an entry of the trash."""
    rows = await tx.fetch_all(
        "SELECT id FROM repositories WHERE trash_id = :trash_id ORDER BY id LIMIT :limit",
        trash_id=trash_id,
        limit=limit,
    )
    return [row[0] for row in rows]


async def is_project_in_trash(tx: Transaction, project_id: int) -> bool:
    row = await tx.fetch_one("SELECT 1 FROM projects WHERE id = :id AND trash_id IS NOT NULL", id=project_id)
    return row is not None


async def were(tx: Transaction, name: RepositoryName) -> bool:
    """Whether a repository of this name was deleted, and purged."""
    row = await tx.fetch_one(
        "SELECT 1 FROM repositories WHERE name > :first AND name < :past AND trash_id IS NULL LIMIT 1",
        first=f"{name}@",
        past=f"{name}A",
    )
    return row is not None


async def project_was(tx: Transaction, name: str) -> bool:
    row = await tx.fetch_one(
        "SELECT 1 FROM projects WHERE name > :first AND name < :past AND trash_id IS NULL LIMIT 1",
        first=f"{name}@",
        past=f"{name}A",
    )
    return row is not None


async def window(tx: Transaction, project: str) -> tuple[int, int | None] | None:
    """Id of a project, and for how many seconds its trash is kept; None for as long as the settings say."""
    row = await tx.fetch_one("SELECT id, trash_seconds FROM projects WHERE name = :name", name=project)
    return (row[0], row[1]) if row else None


async def set_window(tx: Transaction, project_id: int, seconds: int | None) -> None:
    await tx.execute(
        "UPDATE projects SET trash_seconds = CAST(:seconds AS BIGINT) WHERE id = :id", id=project_id, seconds=seconds
    )
