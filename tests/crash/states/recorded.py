"""The program as it is recorded: `python -m tests.crash.states.recorded serve …`.

Its log is taken over every few dozen pages rather than every 4,000, so that short recordings cross what a busy
server does once in a while. And its boot has another id than this one, since a power cut ends a boot.
"""

import sys

from pierhead.blobs import files
from pierhead.cli.main import main
from pierhead.metadata.sqlite import log

BOOT = "the boot that was recorded"

if __name__ == "__main__":
    log.CHECKPOINT_PAGES = 150
    log.LOG_MAX_BYTES = 100 * 4096
    files.boot_id = lambda: BOOT  # type: ignore[attr-defined]  # imported there, and meant for nobody else
    sys.exit(main())
