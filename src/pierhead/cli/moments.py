"""Moments, as people write them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import click

_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str, *, span: Literal["ago", "ahead"]) -> int:
    """Microseconds since 1970. Raises ValueError.

    `2026-01-31`, `2026-01-31T18:00`, with a zone (`Z`, `+02:00`) or else in UTC; or `90m`, `12h`, `30d` from now.
    """
    if matched := _SPAN.fullmatch(text):
        distance = timedelta(**{_UNITS[matched[2]]: int(matched[1])})
        told = datetime.now(UTC) + (distance if span == "ahead" else -distance)
    else:
        told = datetime.fromisoformat(text)
        told = told if told.tzinfo else told.replace(tzinfo=UTC)
    return (told - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class _Moment(click.ParamType[int]):
    name = "moment"

    def __init__(self, span: Literal["ago", "ahead"]) -> None:
        self._span: Literal["ago", "ahead"] = span

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse(value, span=self._span)
        except (ValueError, OverflowError):
            self.fail(f"{value}: 2026-01-31, 2026-01-31T18:00Z or 30d, 12h, 90m is expected", param, ctx)


PAST = _Moment("ago")
FUTURE = _Moment("ahead")
