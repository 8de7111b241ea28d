"""The kinds of jobs that there are: what each does, and when."""

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Protocol

from pierhead.access.leavers import Leavers
from pierhead.access_settings import TokenSettings
from pierhead.accounts.refresh_tokens import RefreshTokens
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.jobs.attempt import SECOND
from pierhead.jobs.kind import Kind
from pierhead.metadata import jobs as rows
from pierhead.metadata.database import Database
from pierhead.metadata.jobs import Job
from pierhead.registry.audit import Audit
from pierhead.registry.collector import Backlog, Collector, Step
from pierhead.registry.copies import Copies
from pierhead.registry.marks import Marks
from pierhead.registry.registry import Registry
from pierhead.registry.scrub import Scrub
from pierhead.registry.trash import Trash
from pierhead.registry.untagged import Expiry
from pierhead.registry.uploads import Uploads
from pierhead.settings import JobSettings

_MINUTE = 60.0
_HOUR = 60 * _MINUTE
_FORGOTTEN_AT_ONCE = 1000


class Told(Protocol):
    """Who counts what the jobs do."""

    def collected(self, step: Step) -> None: ...

    def to_collect(self, backlog: Backlog) -> None: ...

    def scrub_stands(self, coverage: float, damaged: int, whole_at: int | None) -> None: ...

    def audit_stands(self, unsealed: int, behind: Mapping[str, int]) -> None: ...


class _Nobody:
    def collected(self, step: Step) -> None: ...

    def to_collect(self, backlog: Backlog) -> None: ...

    def scrub_stands(self, coverage: float, damaged: int, whole_at: int | None) -> None: ...

    def audit_stands(self, unsealed: int, behind: Mapping[str, int]) -> None: ...


def known(
    registry: Registry,
    database: Database,
    settings: JobSettings,
    told: Told | None = None,
    tokens: TokenSettings | None = None,
    *,
    rechecks: Iterable[Kind] = (),
) -> dict[str, Kind]:
    """By their names. What a store has no use for is left out."""
    told, tokens = told or _Nobody(), tokens or TokenSettings()
    kinds = [
        expire_uploads(registry.uploads),
        abort_orphans(registry.uploads),
        mark_blobs(registry.marks),
        collect_blobs(registry.collector, told),
        purge_trash(registry.trash),
        expire_untagged(registry.untagged),
        rotate_keys(SigningKeys(database, days=tokens.key_days)),
        forget_tokens(RefreshTokens(database, days=tokens.refresh_days, most=tokens.max_refresh)),
        forget_jobs(database, settings),
        seal_events(registry.audit, told),
        prune_events(registry.audit),
        *rechecks,
        *([forward_events(registry.audit)] if registry.audit.forwarding.on else []),
        *([scrub_blobs(registry.scrub, told)] if registry.scrub.on else []),
        *([copy_manifests(registry.copies)] if registry.copies else []),
    ]
    return {kind.name: kind for kind in kinds}


def expire_uploads(uploads: Uploads) -> Kind:
    async def perform(_: Job) -> None:
        while await uploads.sweep():
            pass

    return Kind("uploads.expire", perform, every=10 * _MINUTE, wanted=uploads.any_expired)


def abort_orphans(uploads: Uploads) -> Kind:
    async def wanted() -> bool:
        return bool(await uploads.orphans())

    async def perform(_: Job) -> None:
        # Once: what cannot be removed must not be tried for ever.
        await uploads.discard(await uploads.orphans())

    return Kind("uploads.abort-orphans", perform, every=_HOUR, wanted=wanted)


def mark_blobs(marks: Marks) -> Kind:
    """Those whose worker died before it could."""

    async def perform(_: Job) -> None:
        while await marks.sweep():
            pass

    return Kind("blobs.mark", perform, every=_MINUTE, wanted=marks.any_left)


def collect_blobs(collector: Collector, told: Told) -> Kind:
    async def wanted() -> bool:
        backlog = await collector.backlog()
        told.to_collect(backlog)
        return backlog.any

    async def perform(_: Job) -> None:
        async with aclosing(collector.run()) as steps:
            async for step in steps:
                told.collected(step)
        told.to_collect(await collector.backlog())

    return Kind("blobs.collect", perform, every=_MINUTE, wanted=wanted)


def copy_manifests(copies: Copies) -> Kind:
    """Pushes only note what they owe: a job for each of them would be a second row that all of them contend for."""

    async def perform(_: Job) -> None:
        while await copies.pay():
            pass

    return Kind("manifests.copy", perform, every=2.0, wanted=copies.any_owed, longest_pause=5 * _MINUTE)


def scrub_blobs(scrub: Scrub, told: Told) -> Kind:
    async def perform(_: Job) -> None:
        while await scrub.go():
            pass

    async def show() -> None:
        now = await scrub.numbers()
        told.scrub_stands(now.coverage, now.damaged, now.whole_at)

    return Kind("blobs.scrub", perform, every=_MINUTE, wanted=scrub.wanted, show=show)


def purge_trash(trash: Trash) -> Kind:
    """What its time is over."""

    async def perform(_: Job) -> None:
        while await trash.purge_due():
            pass

    return Kind("trash.purge", perform, every=_MINUTE, wanted=trash.any_due)


def expire_untagged(untagged: Expiry) -> Kind:
    """Those that no tag points to, where the settings do not keep them."""

    async def perform(_: Job) -> None:
        await untagged.expire()

    return Kind("manifests.untagged", perform, every=_HOUR, wanted=untagged.any_old)


def rotate_keys(keys: SigningKeys) -> Kind:
    """Those that tokens are signed with."""

    async def perform(_: Job) -> None:
        await keys.change()

    return Kind("tokens.rotate-keys", perform, every=10 * _MINUTE, wanted=keys.wants_change)


def forget_tokens(refresh: RefreshTokens) -> Kind:
    """Refresh tokens that ended."""

    async def perform(_: Job) -> None:
        while await refresh.forget():
            pass

    return Kind("tokens.forget", perform, every=_HOUR, wanted=refresh.any_over)


def recheck(name: str, leavers: Leavers, *, minutes: float) -> Kind:
    """The people of one directory: a kind of its own, so that none waits for another that is down."""

    async def perform(_: Job) -> None:
        await leavers.look()

    return Kind(f"ldap.recheck.{name}", perform, every=minutes * _MINUTE, wanted=leavers.any, first_pause=10 * _MINUTE)


def seal_events(audit: Audit, told: Told) -> Kind:
    """Numbers and chains what was written, and signs how far the chain goes."""

    async def perform(_: Job) -> None:
        await audit.sealing.run()

    async def show() -> None:
        told.audit_stands(await audit.sealing.waiting(), await audit.forwarding.behind())

    return Kind("audit.seal", perform, every=2.0, wanted=audit.sealing.wanted, show=show)


def forward_events(audit: Audit) -> Kind:
    async def perform(_: Job) -> None:
        await audit.forwarding.run()

    return Kind("audit.forward", perform, every=2.0, wanted=audit.forwarding.wanted, longest_pause=_MINUTE)


def prune_events(audit: Audit) -> Kind:
    """Those that are too old, once every place that they are handed on to has them."""

    async def wanted() -> bool:
        return await audit.sealing.any_old(await audit.forwarding.upto())

    async def perform(_: Job) -> None:
        await audit.sealing.prune_all(await audit.forwarding.upto())

    return Kind("audit.prune", perform, every=_HOUR, wanted=wanted)


def forget_jobs(database: Database, settings: JobSettings) -> Kind:
    age = int(settings.keep_hours * _HOUR * SECOND)
    forget = partial(rows.forget, age=age, limit=_FORGOTTEN_AT_ONCE)

    async def wanted() -> bool:
        return await database.read(partial(rows.any_old, age=age))

    async def perform(_: Job) -> None:
        while await database.write(forget, durable=False):
            pass

    return Kind("jobs.forget", perform, every=10 * _MINUTE, wanted=wanted)
