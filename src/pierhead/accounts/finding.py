"""Finding who is meant, and what is done to users and robots alike. In the transaction of whoever changes them."""

from pierhead.accounts.by import By
from pierhead.accounts.holding import require_no_less
from pierhead.errors import PrincipalUnknown
from pierhead.metadata import events
from pierhead.metadata import principals as rows
from pierhead.metadata.database import Transaction
from pierhead.metadata.principals import Kind, Principal


async def find(tx: Transaction, name: str, *kinds: Kind) -> Principal:
    """Raises PrincipalUnknown."""
    found = await rows.find(tx, name)
    if found is None or (kinds and found.kind not in kinds):
        raise PrincipalUnknown(name)
    return found


async def set_disabled(tx: Transaction, principal: Principal, *, disabled: bool, by: By) -> None:
    await require_no_less(tx, principal, by)
    is_so = principal.disabled_at is not None if disabled else principal.disabled_at is principal.gone_at is None
    if is_so:
        return
    await (rows.disable if disabled else rows.enable)(tx, principal.id)
    await record(tx, "disabled" if disabled else "enabled", principal, by)


async def remove(tx: Transaction, principal: Principal, *, by: By) -> None:
    """With all that it holds. Its name stays in events; who gets the name next holds nothing of it."""
    await require_no_less(tx, principal, by)
    await rows.remove(tx, principal.id)
    await record(tx, "deleted", principal, by)


async def record(tx: Transaction, what: str, principal: Principal, by: By, **details: object) -> None:
    await events.record_change(
        tx,
        f"{principal.kind}.{what}",
        f"{principal.kind}:{principal.name}",
        by.actor,
        project_id=principal.project_id,
        details=details or None,
    )
