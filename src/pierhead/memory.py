"""What becomes of memory that was freed."""

import ctypes

# malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Pieces of uploads come and go at hundreds of MB a second. As glibc is set, it gives the memory of many of them
# back to the system each time, which clears every page that it hands out again.
_KEPT_BYTES = 64 * 1024 * 1024
# From here on a block is the system's own, and goes back by itself; the largest piece of a body is a quarter of it.
_MAPPED_BYTES = 8 * 1024 * 1024


def keep_freed() -> None:
    """Lets the process use again what it freed. Nothing happens without glibc."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        set_option(_M_TRIM_THRESHOLD, _KEPT_BYTES)
