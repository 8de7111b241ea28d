"""Who a request acts for."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Principal:
    name: str
    credential: Literal["none", "basic"] = "none"


ANONYMOUS = Principal("anonymous")
