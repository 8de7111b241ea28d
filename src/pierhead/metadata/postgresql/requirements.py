"""What a PostgreSQL server must be like to keep what this program promises."""

from dataclasses import dataclass

from asyncpg import Connection

OLDEST = 13  # the oldest major version that is served

_FACTS = """
    SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version,
           CAST(current_setting('server_version_num') AS INTEGER) / 10000 AS major,
           current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby
"""


@dataclass(frozen=True, slots=True)
class Facts:
    pid: int
    version: str
    major: int
    fsync: str
    synchronous_commit: str
    encoding: str
    standby: bool

    @property
    def engine(self) -> str:
        return f"PostgreSQL {self.version.partition(' ')[0]}"

    def mistakes(self) -> list[str]:
        """What keeps this server from being used, with what to do."""
        found = []
        if self.major < OLDEST:
            found.append(f"this is PostgreSQL {self.version}; {OLDEST} or later is needed")
        if self.fsync != "on":
            found.append("fsync is off: a power cut can lose or damage everything; set fsync = on in postgresql.conf")
        if self.synchronous_commit == "off":
            found.append(
                "synchronous_commit is off: what was acknowledged can be lost; "
                "set it to on (or local, remote_write, remote_apply) for this server, database and role"
            )
        if self.encoding != "UTF8":
            found.append(
                f"the database's encoding is {self.encoding}; create it with ENCODING 'UTF8' TEMPLATE template0"
            )
        if self.standby:
            found.append("this is a standby, which takes no writes; name the primary")
        return found


async def facts(connection: Connection) -> Facts:
    row = await connection.fetchrow(_FACTS)
    return Facts(**row)
