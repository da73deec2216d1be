"""Times as events carry them: UTC, to the microsecond, and as text always of one width, so that text sorts as time does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """The time of now, in UTC."""
    return datetime.now(timezone.utc)


def in_utc(moment: datetime) -> datetime:
    """`moment` in UTC. A time without a zone is taken as UTC, as is one whose conversion leaves the years 1 to 9999."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        return moment.replace(tzinfo=timezone.utc)


def to_text(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`: always six decimals and Z."""
    return in_utc(moment).isoformat(timespec="microseconds")[:26] + "Z"


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly; negative before."""
    return (in_utc(moment) - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The inverse of `to_microseconds`."""
    return _EPOCH + timedelta(microseconds=microseconds)
