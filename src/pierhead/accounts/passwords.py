"""Which passwords are accepted, and what is kept of them: argon2id, computed in a thread."""

# ruff: noqa: PLC0415

import asyncio

from pierhead.errors import PasswordRefused

_LONGEST = 1024  # bytes
# What is tried first, and long enough for the policy or for a laxer one.
_TRIED_FIRST = """
12345678 123456789 1234567890 12345678910 123123123 1234512345 0123456789 0987654321 9876543210 11111111
1111111111 00000000 0000000000 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc qwertyuiop qwerty123
qwerty1234 qwerty12345 qwertyui qwerty123456 asdfghjkl asdfghjkl1 zxcvbnm123 password password1 password12
password123 password1234 password12345 passw0rd p@ssw0rd p@ssword p@ssw0rd1 p@ssw0rd123 pa55word
passwordpassword letmein1 letmein123 welcome1 welcome123 welcome1234 admin123 admin1234 admin12345 administrator
adminadmin changeme changeme1 changeme123 iloveyou iloveyou1 iloveyou123 sunshine sunshine1 princess football
football1 baseball superman superman1 trustno1 starwars dragon123 monkey123 master123 shadow123 michael1
jennifer computer internet abc12345 abcd1234 abcdefgh abcdefghij a1b2c3d4 a1b2c3d4e5 aa12345678 test1234
testtest guest1234 root1234 toor1234 secret123 secretsecret default1 registry registry1 harbor12345 docker123
dockerhub pierhead pierhead1 pierhead123
"""
_COMMON = frozenset(_TRIED_FIRST.split())


async def hashed(name: str, password: str, *, min_length: int) -> str:
    """What is kept. Raises PasswordRefused."""
    require(name, password, min_length=min_length)
    return await asyncio.to_thread(_hash, password)


def require(name: str, password: str, *, min_length: int) -> None:
    """Raises PasswordRefused with what is expected."""
    if len(password) < min_length:
        raise PasswordRefused(f"it needs at least {min_length} characters (setting passwords.min_length)")
    if len(password.encode()) > _LONGEST:
        raise PasswordRefused(f"it has more than {_LONGEST} bytes")
    if password.casefold() == name.casefold():
        raise PasswordRefused("it is the name")
    if password.casefold() in _COMMON or len(set(password)) == 1:
        raise PasswordRefused("it is among the first that are tried")


def _hash(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)
