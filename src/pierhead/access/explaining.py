"""Why somebody may do something, or may not: the decision itself, and every grant that led to it."""

from dataclasses import dataclass

from pierhead.access.decisions import Decisions, Given, has_sources
from pierhead.access.htpasswd import AccountsFile
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.access.rights import Grant, Rights
from pierhead.errors import PrincipalUnknown, Unauthenticated
from pierhead.metadata import rights as rows
from pierhead.metadata.database import Database
from pierhead.models import Place, RepositoryName
from pierhead.settings import Settings
from pierhead.verbs import Verb, Verbs


@dataclass(frozen=True, slots=True)
class Explained:
    name: str
    verb: Verb
    place: Place
    allowed: bool
    grants: list[Grant]  # those that give the verb here
    held: Verbs  # all that is held here
    reasons: list[str]  # beside grants: what else gave it, or took it away


async def explain(
    database: Database, settings: Settings, name: str, verb: Verb, repository: RepositoryName
) -> Explained:
    """As a request would be decided now. `anonymous` is who did not sign in. Raises PrincipalUnknown."""
    file = AccountsFile(settings.access.htpasswd) if settings.access.htpasswd else None
    decisions = Decisions(database, Given.by(settings), file)
    epoch = await decisions.epoch()
    place = await decisions.place(repository)
    if epoch.closed is None and not has_sources(settings):
        rights = Rights(everything=True)
        reasons = ["the registry has no accounts: whoever reaches it may do everything"]
    else:
        rights, reasons = await _rights(database, decisions, settings, name)
    held = rights.system if verb.system else rights.held(place)
    reasons += _reasons(rights, place, verb, held)
    return Explained(name, verb, place, verb in held, rights.why(verb, place), held, reasons)


async def _rights(database: Database, decisions: Decisions, settings: Settings, name: str) -> tuple[Rights, list[str]]:
    if name == ANONYMOUS.name:
        return await decisions.rights(ANONYMOUS), []
    holder = await database.read(lambda tx: rows.named(tx, name))
    if holder is not None and holder.source == "htpasswd" and settings.access.htpasswd is None:
        return Rights(), ["signs in by an htpasswd file, and the settings that this was asked with name none"]
    if holder is not None:
        try:
            return await decisions.rights(Principal(name, "password", holder.id, source=holder.source)), []
        except Unauthenticated as error:
            return Rights(), [str(error)]
    if settings.access.htpasswd and name in AccountsFile(settings.access.htpasswd).current().by_name:
        given = decisions.given.to(name, "htpasswd", ())
        return Rights(tuple(given), pulls_everything=settings.access.allow_anonymous), ["has not signed in yet"]
    raise PrincipalUnknown(name)


def _reasons(rights: Rights, place: Place, verb: Verb, held: Verbs) -> list[str]:
    reasons = []
    if verb is Verb.PULL and verb in held:
        if place.public and place.repository_id is not None:
            reasons.append("the repository is public: everybody may pull")
        if rights.pulls_everything:
            reasons.append("the setting access.allow_anonymous lets everybody pull")
    if place.project_id is None and not verb.system:
        reasons.append(f"there is no project {place.name.project}; whoever may make projects may push to it")
    return reasons
