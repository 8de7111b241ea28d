"""PgBouncer in front of a PostgreSQL, one transaction at a time: a session's state is not the next transaction's."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests import components
from tests.running import free_port
from tests.servers import process

_CONFIGURATION = """\
[databases]
* = host={host} port={server_port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def pgbouncer(url: str, pool_size: int = 10) -> Iterator[str]:
    """The URL of the same database, by way of the pool."""
    program = components.require("pgbouncer")
    server = urlsplit(url)
    with process.scratch("pgbouncer") as folder:
        port = free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                host=server.hostname,
                server_port=server.port,
                user=server.username,
                port=port,
                pool_size=pool_size,
            )
        )
        configuration.chmod(0o644)  # whatever the umask is
        with process.running([program, configuration], folder, lambda: process.accepts(port), unprivileged=True):
            yield f"postgresql://{server.username}@127.0.0.1:{port}{server.path}"
