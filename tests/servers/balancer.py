"""nginx in front of several nodes, each request to any of them: no node sees all of one client's."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import components
from tests.running import free_port
from tests.servers import process

_CONFIGURATION = """\
daemon off;
{user}
pid nginx.pid;
error_log stderr;
worker_processes 2;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream nodes {{
        random;
        {nodes}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_next_upstream {again};
            proxy_connect_timeout 5s;
            proxy_read_timeout 900s;
            proxy_send_timeout 900s;
        }}
    }}
}}
"""


# Never a POST or a PATCH a second time: non_idempotent is left out.
AGAIN = "error timeout"
NEVER_AGAIN = "off"


@contextmanager
def balancer(ports: Sequence[int], *, again: str = AGAIN) -> Iterator[str]:
    """The URL in front of the nodes at these ports of loopback. One that is gone is tried again after a second.

    `again` is when a request goes to another node: a PUT and a DELETE too may then take effect twice.
    """
    program = components.require("nginx")
    with process.scratch("balancer") as folder:
        port = free_port()
        configuration = folder / "nginx.conf"
        nodes = "\n        ".join(f"server 127.0.0.1:{node} max_fails=1 fail_timeout=1s;" for node in ports)
        user = "user root;" if os.geteuid() == 0 else ""  # who owns the folder
        configuration.write_text(_CONFIGURATION.format(user=user, nodes=nodes, port=port, again=again))
        command: list[str | Path] = [program, "-p", folder, "-c", configuration, "-e", "stderr"]
        # Killed, the master would leave its workers behind.
        with process.running(command, folder, lambda: process.accepts(port), orphaned="TERM"):
            yield f"http://127.0.0.1:{port}"
