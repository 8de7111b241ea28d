"""Freed memory is used again: seen in a process of its own, by the pages that the system had to clear."""

import platform
import subprocess
import sys

import pytest

_COME_AND_GO = """
import resource
from pierhead import memory

{begin}
for _ in range(50):
    pieces = [b"x" * (512 * 1024) for _ in range(16)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
_PAGES_OF_PIECES = 16 * 512 * 1024 // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_pieces_that_come_and_go_cost_their_pages_once() -> None:
    without, with_it = _page_faults("pass"), _page_faults("memory.keep_freed()")

    assert without - with_it > 20 * _PAGES_OF_PIECES


def _page_faults(begin: str) -> int:
    program = _COME_AND_GO.format(begin=begin)
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
