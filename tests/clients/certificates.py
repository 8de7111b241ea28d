"""A certificate that signs itself, for loopback and the addresses and names given."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import components


@dataclass(frozen=True, slots=True)
class Certificate:
    path: Path
    key: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """What makes `pierhead serve` use it."""
        return ("--tls-certificate", str(self.path), "--tls-key", str(self.key))


def certificate(folder: Path, *hosts: str) -> Certificate:
    made = Certificate(folder / "tls.crt", folder / "tls.key")
    names = ",".join(f"{'IP' if host[-1].isdigit() else 'DNS'}:{host}" for host in ("127.0.0.1", *hosts))
    subprocess.run(
        [
            *(components.require("openssl"), "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=pierhead tests"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", f"subjectAltName={names}"),
            *("-out", made.path, "-keyout", made.key),
        ],
        check=True,
        capture_output=True,
    )
    return made
