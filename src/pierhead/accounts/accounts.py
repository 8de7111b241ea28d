"""Everything about who there is and what they hold, by noun. Faces (`api`, `web`, `cli`) ask it."""

from pierhead.accounts.grants import Grants
from pierhead.accounts.projects import Projects
from pierhead.accounts.robots import Robots
from pierhead.accounts.roles import Roles
from pierhead.accounts.second_factors import SecondFactors
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.accounts.teams import Teams
from pierhead.accounts.tokens import Tokens
from pierhead.accounts.users import Users
from pierhead.metadata.database import Database
from pierhead.settings import Settings


class Accounts:
    def __init__(self, database: Database, settings: Settings, *, copied: bool = False) -> None:
        """`copied`: whether the store keeps copies of what happens."""
        self.users = Users(database, settings.passwords)
        self.second_factors = SecondFactors(database)
        self.teams = Teams(database)
        self.tokens = Tokens(database, settings.tokens)
        self.signing_keys = SigningKeys(database, days=settings.tokens.key_days)
        self.robots = Robots(database, self.tokens)
        self.roles = Roles(database)
        self.grants = Grants(database)
        self.projects = Projects(database, settings.projects, copied=copied)
