"""How much somebody holds, wherever that is: who may give it to others, or act in his place, holds no less."""

from pierhead.accounts.by import By
from pierhead.errors import RoleUnknown
from pierhead.metadata import rights, roles
from pierhead.metadata.database import Transaction
from pierhead.metadata.principals import Principal
from pierhead.verbs import NONE, ROLES, Verb, Verbs, known

_IN_THE_SYSTEM: Verbs = frozenset(verb for verb in Verb if verb.system)


async def of_role(tx: Transaction, role: str, *, in_the_system: bool) -> Verbs:
    """What a role gives. Raises RoleUnknown."""
    if role in ROLES:
        verbs = ROLES[role]
    else:
        words = await roles.find(tx, role)
        if words is None:
            raise RoleUnknown(f"{role}; there are {', '.join([*ROLES, *await roles.all_(tx)])}")
        verbs = known(words)
    return verbs if in_the_system else verbs - _IN_THE_SYSTEM


async def of_principal(tx: Transaction, principal: Principal) -> Verbs:
    """All verbs that somebody holds anywhere, by himself and by his teams."""
    holder = await rights.holder(tx, principal.id)
    if holder is None:
        return NONE
    held = NONE
    for one in [holder.id, *await rights.teams(tx, holder)]:
        for grant in await rights.granted(tx, one):
            verbs = ROLES.get(grant.role) or known(grant.verbs or ())
            held |= verbs if grant.project_id is None else verbs - _IN_THE_SYSTEM
    return held


async def require_no_less(tx: Transaction, principal: Principal, by: By) -> None:
    """Who could act in somebody's place afterwards must hold what he holds. Raises GivesTooMuch."""
    if not by.is_(principal.id):
        by.require(await of_principal(tx, principal))
