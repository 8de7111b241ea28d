"""How large the parts of an upload are. They grow, so that what a service counts in numbers holds 100 GB and more.

Sizes go by a part's number, not by the bytes before it: a number that is never used costs room, but no bytes are
ever too many for the numbers that are left.
"""

from pierhead.blobs.objects.bucket import Limits
from pierhead.errors import BlobTooLarge

MIB = 1024 * 1024
FIRST = 8 * MIB
# Of all numbers, in percent, and how large their parts are: with 10,000 of them 31 GiB in parts of 8 MiB, 203 in all.
_GROWTH = ((40, 1), (70, 2), (90, 4), (100, 8))
# Numbers that one note in the session's row reserves: ever more of them, up to a GiB of the smallest parts.
_STRIDE_MIN, _STRIDE_MAX = 8, 128


def size_of(number: int, limits: Limits) -> int:
    """Bytes of the part with this number, unless it is the last. Raises BlobTooLarge where there is none."""
    if number > limits.parts:
        raise BlobTooLarge(f"the store takes at most {limits.parts} parts of one object")
    growth = next(factor for percent, factor in _GROWTH if number * 100 <= limits.parts * percent)
    return min(max(FIRST, limits.part_min) * growth, limits.part_max)


def worth(number: int, limits: Limits) -> int:
    """Bytes from which it is worth a number of its own what a request leaves at its end."""
    return max(limits.part_min, size_of(number, limits) // 2)


def next_stride(before: int) -> int:
    """How many numbers to reserve, after so many the last time (0: never)."""
    return min(max(_STRIDE_MIN, 2 * before), _STRIDE_MAX)
