"""`/account/tokens`: personal tokens, for clients and scripts. A new one is shown once."""

from starlette.responses import Response

from pierhead.accounts.scopes import Scope
from pierhead.accounts.tokens import Asked, Made
from pierhead.errors import AccountInvalid, BadRequest, ChangeRefused, ProjectUnknown, SecretUnknown
from pierhead.models import RepositoryName
from pierhead.verbs import ACTIONS, Verb, Verbs
from pierhead.web import answers
from pierhead.web.visit import Visit

_DAY = 86_400
# What a token may do, in the order of the form; None: all that its owner may.
MAY: dict[str, tuple[str, Verbs | None]] = {
    "pull": ("Pull", ACTIONS["pull"]),
    "push": ("Pull and push", ACTIONS["pull"] | ACTIONS["push"]),
    "all": ("Everything that I may", None),
}
LASTS = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year", "": "Never"}
_OVERLAPS = {"0": 0, "24": _DAY, "168": 7 * _DAY}
_EMPTY = {"name": "", "may": "pull", "lasts": "90", "places": ""}


async def show(visit: Visit) -> Response:
    visit.own()
    return answers.redirect(visit, "/account#tokens")


async def ask(visit: Visit) -> Response:
    visit.own()
    return _form(visit, _EMPTY)


async def create(visit: Visit) -> Response:
    session, _ = visit.own()
    form = {key: visit.form.get(key, value)[:4096] for key, value in _EMPTY.items()}
    try:
        asked = await _asked(visit, form)
        made = await visit.parts.tokens.create(session.principal.name, asked, by=visit.by)
    except (BadRequest, ChangeRefused, ProjectUnknown) as error:
        return _form(visit, form, 400, answers.sentence(error))
    return _shown(visit, made, rotated=False)


async def revoke(visit: Visit) -> Response:
    token_id = await _own_token(visit)
    await visit.parts.tokens.revoke(token_id, by=visit.by)
    return answers.redirect(visit, "/account#tokens")


async def rotate(visit: Visit) -> Response:
    """A new one like it; the old one goes on for a while, so that what uses it can be changed."""
    token_id = await _own_token(visit)
    overlap = _OVERLAPS.get(visit.form.get("overlap", "24"), _DAY)
    made = await visit.parts.tokens.rotate(token_id, overlap_seconds=overlap, by=visit.by)
    return _shown(visit, made, rotated=bool(overlap))


async def _asked(visit: Visit, form: dict[str, str]) -> Asked:
    """Raises AccountInvalid, ProjectUnknown."""
    if form["may"] not in MAY or form["lasts"] not in LASTS:
        raise AccountInvalid("choose what the token may do, and how long")
    places = tuple(Scope.parse(line) for line in form["places"].split())
    for place in places:
        await _require_seen(visit, place)
    days = form["lasts"]
    return Asked(form["name"].strip(), MAY[form["may"]][1], places or None, int(days) * _DAY if days else None)


async def _require_seen(visit: Visit, place: Scope) -> None:
    """Raises ProjectUnknown, also for a project that its owner cannot see: no form tells what there is."""
    session, _ = visit.own()
    project = RepositoryName.parse(place.project or "")
    admitted = await visit.parts.access.standing(session.principal, project)
    sees = admitted.visible
    inside = {project_id for project_id, _ in sees.patterns} | sees.projects
    found = admitted.place.project_id
    if found is None or not (Verb.PULL in admitted.verbs or sees.everything or found in inside):
        raise ProjectUnknown(f"{project}: none that you may pull from")


async def _own_token(visit: Visit) -> int:
    """Raises SecretUnknown, also for one of somebody else."""
    session, _ = visit.own()
    text = visit.form.get("token", "")
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004
        raise SecretUnknown
    token = await visit.parts.tokens.find(int(text))
    if token.principal_id != session.principal.id or token.kind != "personal":
        raise SecretUnknown(text)
    return token.id


def _form(visit: Visit, form: dict[str, str], status: int = 200, mistake: str | None = None) -> Response:
    may = [(key, label) for key, (label, _) in MAY.items()]
    return answers.page(visit, "token_new.html", status, form=form, may=may, lasts=LASTS.items(), mistake=mistake)


def _shown(visit: Visit, made: Made, *, rotated: bool) -> Response:
    return answers.page(visit, "token_made.html", 201, token=made.token, text=made.text, rotated=rotated)
