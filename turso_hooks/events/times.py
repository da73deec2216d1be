"""Times as events carry them: UTC, to the microsecond, and as text always of one width, so that text sorts as time does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

utc_now = partial(datetime.now, timezone.utc)
"""The time of now, in UTC. Every event asks for it; a function around it would cost half as much again."""


def in_utc(moment: datetime) -> datetime:
    """`moment` in UTC. A time without a zone is taken as UTC, as is one whose conversion leaves the years 1 to 9999."""
    if moment.tzinfo is timezone.utc:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        return moment.replace(tzinfo=timezone.utc)


def to_text(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`: always six decimals and Z."""
    return microseconds_to_text(to_microseconds(moment))


def microseconds_to_text(microseconds: int) -> str:
    """As `to_text`, from microseconds since 1970. Raises `OverflowError` outside the years 1 to 9999."""
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_second_text(second)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """A second since 1970 as text. Kept: many of the times that are written in a row lie in one."""
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:19]


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly; negative before."""
    since = in_utc(moment) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """The inverse of `to_microseconds`."""
    return _EPOCH + timedelta(microseconds=microseconds)
