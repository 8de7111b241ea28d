"""`n` of a listing."""

from pierhead.errors import QueryInvalid

_DIGITS_MAX = 18


def page_size(n: str | None, largest: int) -> int:
    """distribution-spec 1.1.1, "Listing Tags": at most `n`, and 0 is allowed. Raises QueryInvalid."""
    if n is None:
        return largest
    if not (n.isascii() and n.isdigit()):
        raise QueryInvalid("n: a number of entries is expected")
    return largest if len(n) > _DIGITS_MAX else min(int(n), largest)
